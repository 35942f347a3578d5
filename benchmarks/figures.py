"""What every benchmark prints: a table for people, one JSON document with `--json`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
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


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))])


def tracked(results: Iterable[T], total: int, what: str) -> list[T]:
    """The results as a list; how many there are is shown on standard error while they come."""
    return list(track(results, what, total=total, console=Console(stderr=True)))


def main(name: str, doc: str, measure: Callable[[], Sequence[Figure]]) -> None:
    """Runs a benchmark as a program."""
    run(name, argparse.ArgumentParser(description=doc), lambda _: measure())


def run(name: str, parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace], Sequence[Figure]]) -> None:
    """Runs a benchmark that has options of its own."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options = parser.parse_args()
    figures = [replace(figure, value=float(figure.value)) for figure in measure(options)]
    if options.json:
        document = {"benchmark": name, "machine": machine(), "figures": [asdict(figure) for figure in figures]}
        json.dump(document, sys.stdout, allow_nan=False)
        return
    table = Table("figure", "value", "unit", "how", title=name)
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:.4g}", figure.unit, figure.how)
    Console().print(table)
