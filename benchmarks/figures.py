"""What every benchmark prints: a table for people, one JSON document with `--json`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

T = TypeVar("T")

LIBRARIES = ("highspy", "pyomo", "numpy", "numba", "pandas", "prophet", "faust-streaming")


@dataclass(frozen=True)
class Figure:
    """One measured value and how it was measured."""

    name: str
    value: float
    unit: str
    how: str


Parts = Mapping[str, Callable[[], Sequence[Figure]]]
"""A benchmark's parts by name, in the order they are run."""


def machine() -> dict[str, object]:
    """What it ran on; never compare times of two machines, compare ratios."""
    return {
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def geometric(values: Sequence[float]) -> float:
    """Their geometric mean."""
    return statistics.geometric_mean(values)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))])


def tracked(results: Iterable[T], total: int, what: str) -> list[T]:
    """The results as a list; how many there are is shown on standard error while they come."""
    return list(track(results, what, total=total, console=Console(stderr=True)))


def main(name: str, doc: str, measure: Callable[[], Sequence[Figure]] | Parts) -> None:
    """Runs a benchmark as a program; of one with parts, those asked for."""
    parts = measure if isinstance(measure, Mapping) else {name: measure}
    parser = argparse.ArgumentParser(description=doc)
    if len(parts) > 1:
        parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), help="parts to run; all if absent")
    run(name, parser, lambda options: _in_turn(parts, getattr(options, "only", parts)))


def run(name: str, parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], Sequence[Figure]]) -> None:
    """Runs a benchmark that has options of its own."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options = parser.parse_args()
    figures = [replace(figure, value=float(figure.value)) for figure in measure(options)]
    if options.json:
        document = {"benchmark": name, "machine": machine(), "figures": [asdict(figure) for figure in figures]}
        json.dump(document, sys.stdout, allow_nan=False)
    else:
        Console().print(_table(name, figures))


def _in_turn(parts: Parts, chosen: Iterable[str]) -> list[Figure]:
    """The figures of the chosen parts; those of one part of several are shown as soon as they are there."""
    found: list[Figure] = []
    for part in chosen:
        figures = parts[part]()
        found += figures
        if len(parts) > 1:
            Console(stderr=True).print(_table(part, figures))
    return found


def _table(title: str, figures: Sequence[Figure]) -> Table:
    table = Table("figure", "value", "unit", "how", title=title)
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:.4g}", figure.unit, figure.how)
    return table
