# Everything starts from a bare clone: each target sets up what it needs.
SHELL := /bin/bash
VENV := .venv
STAMP := $(VENV)/.up-to-date

.PHONY: help setup demo test bench docs clean

help:
	@echo "make demo    a recorded day of the park through Kafka, plan, Modbus and plant; results in demo-output/"
	@echo "make test    lint, types and all tests, with a real Kafka where Java and Maven are at hand"
	@echo "make bench   all benchmarks"
	@echo "make docs    pages of docs/devices, docs/topics.md and docs/scenarios.md, made from the classes"
	@echo "make setup   .venv with the command at .venv/bin/quartet"
	@echo "make clean   removes what the other targets made, but not .venv"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $@

demo: setup
	@$(VENV)/bin/quartet demo

test: setup
	@scripts/test.sh $(VENV)

bench: setup
	@for script in $$(grep -l __main__ benchmarks/*.py); do echo "== $$script"; $(VENV)/bin/python "$$script" || [ $$? -eq 3 ] || exit 1; done

docs: setup
	@$(VENV)/bin/python -m scripts.device_pages
	@$(VENV)/bin/python -m scripts.topic_page
	@$(VENV)/bin/python -m scripts.scenario_page

clean:
	rm -rf demo-output build .pytest_cache .mypy_cache .ruff_cache .hypothesis .kafka
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
