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
NEEDED, OPTIONAL, REPORTED = "needed", "optional", "reported"

Rows = Iterable[tuple[str, ...]]


def pages() -> dict[str, str]:
    """The text of every page by file name."""
    found = {f"{kind}.md": device_page(example) for kind, example in sorted(EXAMPLES.items())}
    return {"index.md": index_page(), **found}


def index_page() -> str:
    kinds = [(kind, example.device) for kind, example in sorted(EXAMPLES.items())]
    return text(
        "# Devices",
        MADE,
        ABOUT,
        table(
            ("kind", "what", "takes", "gives"),
            ((f"[{kind}]({kind}.md)", _summary(d), _carriers(d, "out"), _carriers(d, "in")) for kind, d in kinds),
        ),
        "## Fields of every device",
        parameter_table(Device, COMMON),
        UNITS,
    )


def device_page(example: Example) -> str:
    device, kind = example.device, type(example.device)
    own = [name for name in kind.model_fields if name not in (*COMMON, "kind")]
    ports = ports_of(example)
    return text(
        f"# {_title(device)}",
        MADE,
        _doc(kind),
        "## Example",
        f"```yaml\n{example_yaml(device)}```",
        "## Parameters",
        parameter_table(kind, own),
        "## Equations",
        *blocks(_about_the_model(device)),
        "## Flows",
        table(("flow", "bus", "seen from the bus", ""), flow_rows(device)),
        *_section("## Series", series_rows(example), "series", ""),
        *_section("## States and readings", state_rows(example), "name", "state of the plan", "reported as"),
        "## Setpoint",
        *setpoint(device),
        "## By rules",
        _doc(kind.rule),
        *_section("## Limits that can give way", ((f"`{s.limit}`", s.unit) for s in ports.slacks), "limit", "unit"),
        *_costs(ports),
    )


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


def _carriers(device: Device, direction: str) -> str:
    return ", ".join(dict.fromkeys(_bus(device, q) for q, (_, d) in device.buses().items() if d == direction))


def _bus(device: Device, quantity: str) -> str:
    return "its `carrier`" if "carrier" in type(device).model_fields else device.buses()[quantity][0]


# parameters


def parameter_table(kind: type[Device], names: Iterable[str]) -> str:
    properties = kind.model_json_schema()["properties"]
    head = ("field", "unit", "default", "range", "meaning")
    return table(head, ((f"`{name}`", *_parameter(properties[name])) for name in names))


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
    entry = {name: int(v) if isinstance(v, float) and v == int(v) else v for name, v in entry.items()}
    written: str = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True)
    (read,) = yaml.safe_load(written)
    assert TypeAdapter[AnyDevice](AnyDevice).validate_python(read) == device
    return written


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


def _costs(ports: Ports) -> tuple[str, ...]:
    terms = dict.fromkeys(cost.term for cost in ports.costs)
    if not terms:
        return ("## Costs", "It has no term of its own in the plan's cost table.")
    return ("## Costs", "Terms in the plan's cost table: " + ", ".join(f"`{term}`" for term in terms) + ".")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for old in OUT.glob("*.md"):
        old.unlink()
    for name, page in pages().items():
        (OUT / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
