"""The pages of docs/devices say what the classes say."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from optimizer.devices import DEVICES, AnyDevice
from tests.optimizer.devices.examples import EXAMPLES

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "devices"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    pages: Callable[[], dict[str, str]] = runpy.run_path(str(ROOT / "scripts" / "device_pages.py"))["pages"]
    return pages()


def test_pages_are_current(made: dict[str, str]) -> None:
    written = {path.name: path.read_text("utf-8") for path in PAGES.glob("*.md")}
    stale = sorted(name for name in made.keys() | written.keys() if made.get(name) != written.get(name))
    assert stale == [], "docs/devices is not what the classes say: `make docs` renews it"


def test_every_kind_has_a_page() -> None:
    kinds = {kind.model_fields["kind"].default for kind in DEVICES}
    assert {path.stem for path in PAGES.glob("*.md")} == kinds | {"index"}


@pytest.mark.parametrize("path", sorted(PAGES.glob("[!i]*.md")), ids=lambda path: path.stem)
def test_the_examples_on_a_page_are_devices_that_are_tested(path: Path) -> None:
    blocks = [part.split("```")[0] for part in path.read_text("utf-8").split("```yaml\n")[1:]]
    adapter: TypeAdapter[Any] = TypeAdapter(AnyDevice)
    shown = [adapter.validate_python(entry) for block in blocks for entry in yaml.safe_load(block)]
    assert shown[0] == EXAMPLES[path.stem].device
    assert all(device in [example.device for example in EXAMPLES.values()] for device in shown)


@pytest.mark.parametrize("kind", DEVICES, ids=lambda kind: kind.__name__)
def test_the_page_has_every_field_and_equation(kind: type[Any]) -> None:
    page = (PAGES / f"{kind.model_fields['kind'].default}.md").read_text("utf-8")
    fields = [name for name in kind.model_fields if name not in ("id", "kind", "name_zh", "name_en")]
    assert [name for name in fields if f"| `{name}` |" not in page] == []
    equations = page.split("```text\n")[1].split("```")[0]
    assert "(1)" in equations


def test_every_cost_term_is_settled_somewhere(made: dict[str, str]) -> None:
    """docs/tariffs.md says of every term of the pages who bills it."""
    costs = (page.split("cost table: ")[1] for page in made.values() if "cost table: " in page)
    terms = {term for line in costs for term in line.split("`")[1::2]}
    table = (ROOT / "docs" / "tariffs.md").read_text("utf-8").split("## The terms of a plan")[1]
    assert {"energy", "wear", "gas"} <= terms
    assert sorted(term for term in terms if f"`{term}`" not in table) == []
