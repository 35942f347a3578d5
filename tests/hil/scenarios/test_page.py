"""The page of the scenarios is made from their schema and files, and stands in the tree as it is made."""

from pathlib import Path

import yaml

from hil.scenarios.schema import Scenario
from scripts.scenario_page import page

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_current():
    assert (DOCS / "scenarios.md").read_text("utf-8") == page(), "make docs"


def test_the_example_of_the_docs_is_a_scenario():
    text = (DOCS / "hil.md").read_text("utf-8").split("```yaml\n", 1)[1].split("```", 1)[0]
    assert Scenario.model_validate(yaml.safe_load(text)).caught
