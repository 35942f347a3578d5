"""Makes docs/devices: a page for every kind of device, from its class, its equations and the example of its tests.

    make docs      or, without make:      python -m scripts.device_pages

Nothing on the pages is written by hand: to change one, change the docstrings of the device and run this again.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyomo.environ as pyo
import yaml
from pydantic import TypeAdapter

from optimizer.devices import AnyDevice
from optimizer.devices.base import Device, Ports
from optimizer.situation import Situation
from optimizer.time_grid import Array
from tests.optimizer.devices.examples import EXAMPLES, Example, situation_of

OUT = Path(__file__).resolve().parents[1] / "docs" / "devices"
MADE = "<!-- made from the class by `make docs`: change the docstrings, not this page -->"
ABOUT = """
A site file lists its devices; each has a `kind`, an `id` of its own and the fields of its page. Devices meet at the
buses of power, heat, cold and gas and nowhere else. Flows are seen from the bus: `in` feeds it, `out` takes from it;
all are 0 or more. In the equations t is a step, Δt its length in hours, Σ runs over all steps; the numbers in brackets
are those that the rows in the device's file refer to.
"""
UNITS = """
kW and kWh are thermal where the carrier is heat or cold, and by the lower heating value where it is gas. Money is in
the site's currency. What settles the terms of the costs stands in
[tariffs](../tariffs.md#the-terms-of-a-plan-and-who-bills-them).
"""
COMMON = tuple(Device.model_fields)
KINDS = sorted({example.device.kind for example in EXAMPLES.values()})
NEEDED, OPTIONAL, REPORTED = "needed", "optional", "reported"

Rows = Iterable[tuple[str, ...]]


def pages() -> dict[str, str]:
    """The text of every page by file name."""
    return {"index.md": index_page(), **{f"{kind}.md": device_page(kind) for kind in KINDS}}


def index_page() -> str:
    return text(
        "# Devices",
        MADE,
        ABOUT,
        table(("kind", "what", "takes", "gives"), (_index_row(kind) for kind in KINDS)),
        "## Fields of every device",
        parameter_table(Device, COMMON),
        UNITS,
    )


def _index_row(kind: str) -> tuple[str, ...]:
    flows = list(_all_rows(kind, lambda example: flow_rows(example.device)))
    takes, gives = (", ".join(dict.fromkeys(bus for _, bus, way, _ in flows if way == end)) for end in ("out", "in"))
    return f"[{kind}]({kind}.md)", _summary(EXAMPLES[kind].device), takes, gives


def device_page(kind: str) -> str:
    """One page; what an option adds is on it, as far as the tests have an example with that option."""
    device, model = EXAMPLES[kind].device, type(EXAMPLES[kind].device)
    own = [name for name in model.model_fields if name not in (*COMMON, "kind")]
    return text(
        f"# {_title(device)}",
        MADE,
        _doc(model),
        "## Example",
        *_examples(kind),
        "## Parameters",
        parameter_table(model, own),
        "## Equations",
        *blocks(_about_the_model(device)),
        "## Flows",
        table(("flow", "bus", "seen from the bus", ""), _all_rows(kind, lambda example: flow_rows(example.device))),
        *_section("## Series", _all_rows(kind, series_rows), "series", ""),
        *_section("## States and readings", _all_rows(kind, state_rows), "name", "state of the plan", "reported as"),
        "## Setpoint",
        *setpoint(device),
        "## By rules",
        _doc(model.rule),
        *_section("## Limits that can give way", _all_rows(kind, slack_rows), "limit", "unit"),
        "## Costs",
        costs(kind),
    )


def examples_of(kind: str) -> dict[str, Example]:
    """The examples of a kind by name; the one called like the kind comes first."""
    others = {name: example for name, example in sorted(EXAMPLES.items()) if example.device.kind == kind}
    return {kind: EXAMPLES[kind], **others}


def _all_rows(kind: str, rows_of: Callable[[Example], Rows]) -> Rows:
    """What the examples of a kind have together, each row once."""
    return dict.fromkeys(row for example in examples_of(kind).values() for row in rows_of(example))


def _examples(kind: str) -> Iterator[str]:
    for name, example in examples_of(kind).items():
        if name != kind:
            yield f"With {name.removeprefix(kind).strip('_').replace('_', ' ')}:"
        yield f"```yaml\n{example_yaml(example.device)}```"


def text(*parts: str) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def table(head: tuple[str, ...], rows: Rows) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _section(title: str, rows: Rows, *head: str) -> tuple[str, ...]:
    """Nothing where there are no rows."""
    found = list(rows)
    return (title, table(head, found)) if found else ()


def blocks(prose: str) -> Iterator[str]:
    """Paragraphs of a docstring; indented ones are equations."""
    for paragraph in prose.strip("\n").split("\n\n"):
        lines = paragraph.splitlines()
        if all(line.startswith("    ") for line in lines):
            yield "\n".join(["```text", *(line[4:] for line in lines), "```"])
        else:
            yield paragraph


def _doc(documented: object) -> str:
    """Its own docstring.

    Raises:
        AssertionError: it has none.
    """
    assert documented.__doc__, f"{documented} has no docstring"
    return inspect.cleandoc(documented.__doc__)


def _title(device: Device) -> str:
    return _doc(inspect.getmodule(type(device))).split(":")[0]


def _about_the_model(device: Device) -> str:
    """The module's docstring without its title."""
    about = _doc(inspect.getmodule(type(device))).split(":", 1)[1].strip()
    return about[0].upper() + about[1:]


def _summary(device: Device) -> str:
    return re.split(r"(?<=[.])\s", " ".join(_doc(type(device)).split()))[0]


def _bus(device: Device, quantity: str) -> str:
    return "its `carrier`" if "carrier" in type(device).model_fields else device.buses()[quantity][0]


# parameters


def parameter_table(kind: type[Device], names: Iterable[str]) -> str:
    schema = kind.model_json_schema()
    rows = (row for name in names for row in _parameter_rows(name, schema["properties"][name], schema.get("$defs", {})))
    return table(("field", "unit", "default", "range", "meaning"), rows)


def _parameter_rows(name: str, field_schema: Mapping[str, Any], nested: Mapping[str, Any]) -> Rows:
    """The field, and below it the fields of what it holds."""
    yield f"`{name}`", *_parameter(field_schema)
    held = [one["$ref"] for one in (field_schema, *field_schema.get("anyOf", ())) if "$ref" in one]
    for reference in held:
        for inner, schema in nested[reference.rsplit("/", 1)[1]]["properties"].items():
            yield from _parameter_rows(f"{name}.{inner}", schema, nested)


def _parameter(schema: Mapping[str, Any]) -> tuple[str, str, str, str]:
    description = " ".join(schema["description"].split())
    units = re.findall(r" \[([^\]]+)\]", description)
    meaning = re.sub(r" \[[^\]]+\]", "", description)
    default = _plain(schema["default"]) if "default" in schema else "required"
    return ", ".join(units), default, _range(schema), meaning


def _plain(value: object) -> str:
    """A default as one would write it in YAML."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_plain(one) for one in value)}]"
    return str(value)


def _number(value: float) -> str:
    return format(Decimal(str(value)).normalize(), "f")


def _range(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return _range(schema["anyOf"][0])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    if schema.get("type") not in ("number", "integer"):
        return ""
    low = [f"{_number(schema[k])} {sign} " for k, sign in (("exclusiveMinimum", "<"), ("minimum", "≤")) if k in schema]
    high = [f" {sign} {_number(schema[k])}" for k, sign in (("exclusiveMaximum", "<"), ("maximum", "≤")) if k in schema]
    return f"{low[0] if low else ''}x{high[0] if high else ''}" if low or high else ""


def example_yaml(device: AnyDevice) -> str:
    """The example as it stands in a site file.

    Raises:
        AssertionError: it does not read back as the same device.
    """
    entry = {"id": device.id, "kind": device.kind, **device.model_dump(mode="json", exclude_defaults=True)}
    written = "- " + "\n  ".join(f"{name}: {_in_yaml(value)}" for name, value in entry.items()) + "\n"
    (read,) = yaml.safe_load(written)
    assert TypeAdapter[AnyDevice](AnyDevice).validate_python(read) == device
    return written


def _in_yaml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_in_yaml(one)}" for name, one in value.items()) + "}"
    return _plain(value)


# flows, series, states


def flow_rows(device: Device) -> Rows:
    for quantity, (_, direction) in device.buses().items():
        notes = [
            "counts as generation" if quantity in device.generated() else "",
            "no more than is generated" if quantity in device.only_from_generation() else "",
        ]
        yield f"`{quantity}`", _bus(device, quantity), direction, ", ".join(filter(None, notes))


@dataclass(frozen=True)
class Watched(Situation):
    """A situation that notes what it is asked for."""

    asked_for: dict[str, str] = field(default_factory=dict)

    def need(self, name: str) -> Array:
        self.asked_for.setdefault(name, NEEDED)
        return super().need(name)

    def get(self, name: str, default: float) -> Array:
        self.asked_for.setdefault(name, OPTIONAL)
        return super().get(name, default)

    def start_of(self, device: str, quantity: str, default: float) -> float:
        self.asked_for.setdefault(f"{device}.{quantity}", REPORTED)
        return super().start_of(device, quantity, default)


def asked_for(example: Example) -> dict[str, str]:
    """What the device takes from outside, noted while it fills its model; by name, the device's id as `<id>`."""
    known = situation_of(example)
    watched = Watched(**{one.name: getattr(known, one.name) for one in fields(known)})
    example.device.inputs(watched, example.device.conditions(watched))
    example.device.start(watched)
    return {re.sub(rf"^{example.device.id}[.]", "<id>.", name): how for name, how in watched.asked_for.items()}


def series_rows(example: Example) -> Rows:
    return ((f"`{name}`", how) for name, how in asked_for(example).items() if how != REPORTED)


def state_rows(example: Example) -> Rows:
    states = example.device.start(situation_of(example))
    reported = [name.removeprefix("<id>.") for name, how in asked_for(example).items() if how == REPORTED]
    for name in dict.fromkeys([*states, *reported]):
        yield f"`{name}`", "yes" if name in states else "no", f"`<id>.{name}`" if name in reported else ""


def slack_rows(example: Example) -> Rows:
    return ((f"`{slack.limit}`", slack.unit) for slack in ports_of(example).slacks)


def ports_of(example: Example) -> Ports:
    model = pyo.ConcreteModel()
    model.device = pyo.Block(concrete=True)
    return example.device.add_to(model.device, situation_of(example).shape)


# setpoint and costs


def setpoint(device: Device) -> Iterator[str]:
    if device.main_quantity is None:
        yield "It takes no setpoint."
        return
    low = _in_fields(device, lambda d: d.bounds_kw()[0])
    high = _in_fields(device, lambda d: d.bounds_kw()[1])
    safe = _in_fields(device, lambda d: d.safe_kw())
    two_way = "above 0 feeds the bus, below 0 takes from it"
    sign = two_way if low.startswith("-") else f"feeds the bus, as `{device.main_quantity}`"
    yield f"From {low} to {high}, in kW; {sign}. Safe value: {safe}."
    if type(device).setpoint_kw is not Device.setpoint_kw:
        yield _doc(type(device).setpoint_kw)


def _in_fields(device: Device, value_of: Callable[[Device], float]) -> str:
    """A value by the field that it grows with, else as a number."""
    value = value_of(device)
    for name in type(device).model_fields:
        given = getattr(device, name)
        if isinstance(given, float) and 0 != value_of(device.model_copy(update={name: 2 * given})) == 2 * value:
            return f"{'-' if value < 0 else ''}`{name}`"
    return _number(value)


def costs(kind: str) -> str:
    terms = dict.fromkeys(cost.term for example in examples_of(kind).values() for cost in ports_of(example).costs)
    if not terms:
        return "It has no term of its own in the plan's cost table."
    return "Terms in the plan's cost table: " + ", ".join(f"`{term}`" for term in terms) + "."


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for old in OUT.glob("*.md"):
        old.unlink()
    for name, page in pages().items():
        (OUT / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
