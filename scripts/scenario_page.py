"""Makes docs/scenarios.md from the scenarios' schema, the shipped scenarios and the controllers that they catch.

    make docs      or, without make:      python -m scripts.scenario_page

Nothing on the page is written by hand: to change it, change hil/scenarios.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from hil.scenarios.controllers import BAD
from hil.scenarios.loading import load_setting, shipped_scenarios
from hil.scenarios.schema import AnyCriterion, AnyEvent, Car, Scenario, Window
from scripts.model_tables import doc_of, fields_of, table

OUT = Path(__file__).resolve().parents[1] / "docs" / "scenarios.md"
MADE = "<!-- made from hil/scenarios by `make docs`: change that, not this page -->"
ABOUT = """
A scenario is a YAML file: a site and a moment of its record, what happens, and what the plant's records must show. How
the bench runs them, and how to write one: [hil.md](hil.md#scenarios). Minutes count from the start; a window goes from
`from_minute` up to, not including, `to_minute`, and to the end without it.
"""
WINDOW = frozenset(Window.model_fields) | {"kind"}


def page() -> str:
    """The text of the page."""
    blocks = ["# Scenarios", MADE, ABOUT.strip(), "## Shipped", _shipped()]
    blocks += ["## Controllers that are bad on purpose", _controllers(), "## A scenario", fields_of(Scenario)]
    blocks += ["### A car", fields_of(Car), "## Events", *_kinds(AnyEvent), "## Criteria", *_kinds(AnyCriterion)]
    return "\n\n".join(blocks) + "\n"


def _shipped() -> str:
    scenarios = [load_setting(name).scenario for name in shipped_scenarios()]
    rows = ((f"`{one.id}`", one.about.strip(), ", ".join(f"`{bad}`" for bad in one.caught)) for one in scenarios)
    return table(("scenario", "what happens", "must catch"), rows)


def _controllers() -> str:
    rows = ((f"`{name}`", (maker.__doc__ or "").strip()) for name, maker in BAD.items())
    return table(("controller", "its fault"), rows)


def _kinds(union: object) -> Iterator[str]:
    for kind in get_args(get_args(union)[0]):
        assert issubclass(kind, BaseModel)
        yield f"### `{kind.model_fields['kind'].default}`"
        yield doc_of(kind)
        if set(kind.model_fields) - WINDOW:
            yield fields_of(kind, WINDOW)


def main() -> None:
    OUT.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
