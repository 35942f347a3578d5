"""What README and docs tell a reader to type is typed here; links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from settlement.certificates import inventory_of
from site_configs.history import sample_folder
from site_configs.site import ExportSettlement, GreenPower, Metering

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LONG_RUNNING = ("demo", "replay", "run", "gateway", "broker", "operator", "hil")


def typed_lines() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"^```\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)]
    return sorted({line.strip() for block in blocks for line in block.splitlines()})


QUARTET = sorted({line for typed in typed_lines() if (line := typed.removeprefix(".venv/bin/")).startswith("quartet ")})
MAKE = [line for line in typed_lines() if line.startswith("make ")]


@pytest.mark.parametrize("line", QUARTET)
def test_commands_in_the_docs_work(quartet, line, tmp_path, monkeypatch):
    shutil.copy(sample_folder("jiashan_park") / "contract.yaml", tmp_path)
    (tmp_path / "site_configs").symlink_to(ROOT / "site_configs")
    monkeypatch.chdir(tmp_path)
    typed = shlex.split(line)[1:]
    arguments = [str(tmp_path / "out") if before == "--out" else word for before, word in pairwise(["", *typed])]
    ran = quartet(*arguments, "--help") if arguments[0] in LONG_RUNNING else quartet(*arguments)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("line", MAKE)
def test_make_targets_in_the_docs_exist(line):
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


def test_readme_has_its_two_commands():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in MAKE
    assert any(line in readme for line in QUARTET)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


INDEXES = sorted((ROOT / "docs").rglob("index.md"))


@pytest.mark.parametrize("index", INDEXES, ids=lambda page: str(page.relative_to(ROOT)))
def test_index_lists_every_page_and_decision(index):
    """A folder with an index of its own is listed by that index alone."""
    inner = [other for other in INDEXES if other != index and index.parent in other.parents]
    pages = {page for page in index.parent.rglob("*.md") if not any(i.parent in page.parents for i in inner)}
    links = re.findall(r"\]\(([^)#]+\.md)\)", index.read_text("utf-8"))
    assert sorted(links) == sorted(str(page.relative_to(index.parent)) for page in {*pages, *inner} - {index})


def test_pictures_in_the_docs_are_small():
    assert [path for path in (ROOT / "docs").rglob("*.png") if path.stat().st_size > 200_000] == []


def yaml_of(page: str, number: int) -> Any:
    """A YAML example of a page, by its place."""
    examples = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / page).read_text("utf-8"), re.M | re.S)
    return yaml.safe_load(examples[number])


def test_examples_of_site_and_inventory_files_are_valid():
    assert Metering.model_validate(yaml_of("statements.md", 0)["metering"]).tenants
    assert inventory_of(yaml_of("statements.md", 1), "statements.md").lines
    monthly = yaml_of("tariffs.md", -1)
    assert ExportSettlement.model_validate(monthly["export"]).mechanism
    assert [GreenPower.model_validate(bought) for bought in monthly["tariff"]["green_power"]]
