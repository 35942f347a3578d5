"""The rooms of the house, and who may import whom: to the left only (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from optimizer.devices import DEVICES

ROOT = Path(__file__).parents[1]
FLOORS = (
    ("optimizer", "forecasting"),
    ("site_configs",),
    ("settlement",),
    ("streams",),
    ("hil",),
    ("sizing",),
    ("quartet",),
)
"""From the bottom up; rooms of one floor do not import one another."""
ROOMS = tuple(room for floor in FLOORS for room in floor)


def imported_modules(source: str) -> Iterator[str]:
    """Every absolute module name that the source imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(folder: Path) -> set[tuple[str, str]]:
    """(file, imported module) of every Python file under a folder."""
    return {
        (str(path.relative_to(ROOT)), module)
        for path in folder.rglob("*.py")
        for module in imported_modules(path.read_text())
    }


def rooms_below(room: str) -> set[str]:
    floor = next(number for number, rooms in enumerate(FLOORS) if room in rooms)
    return {other for rooms in FLOORS[:floor] for other in rooms}


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_the_rooms_below_it(room: str) -> None:
    allowed = {room} | rooms_below(room)
    uphill = {
        (file, module)
        for file, module in imports_of(ROOT / room)
        if module.split(".")[0] in ROOMS and module.split(".")[0] not in allowed
    }
    assert uphill == set()


def test_every_room_has_a_floor() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"}
    assert packages == set(ROOMS)


def test_devices_never_import_one_another() -> None:
    devices = ROOT / "optimizer" / "devices"
    kinds = {kind.__module__.rsplit(".", 1)[1] for kind in DEVICES}
    across = {
        (file, module)
        for file, module in imports_of(devices)
        if not file.endswith("__init__.py")
        for kind in kinds
        if f"{module}.".startswith(f"optimizer.devices.{kind}.")
    }
    assert across == set()


def test_only_the_test_bench_and_the_command_line_know_the_simulated_plant() -> None:
    """Nothing that ships to a site imports `hil`; and outside it only sizing and the commands that run a bench do."""
    users = {
        file for room in ROOMS if room != "hil" for file, module in imports_of(ROOT / room) if module.startswith("hil")
    }
    assert {Path(file).parts[0] for file in users} <= {"quartet", "sizing"}


@pytest.mark.parametrize("source", ["import hil.plant", "from hil import plant", "def f():\n    import hil.plant"])
def test_the_reader_sees_every_kind_of_import(source: str) -> None:
    assert any(module.startswith("hil") for module in imported_modules(source))
