"""Learns what the near model expects of a load it has not seen, from recorded loads of many kinds.

    .venv/bin/python benchmarks/near_prior.py --data DIR --write

Every load counts the same, in units of its own anomalies. Back-tests of recorded loads take a prior that was learned
without the loads of their own place (`Elsewhere`): what is shipped has seen them all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
from recorded_loads import Load, recorded_loads

from forecasting.backtest import Record, Schedule, day_table
from forecasting.day_types import spaced_origins
from forecasting.forecast import Array
from forecasting.measured import measured
from forecasting.members import FIRST_ORIGIN_DAYS
from forecasting.near_model import NEAR_HOURS, SHAPE_FEATURES, near_leads, near_view, products, robust_ridge
from forecasting.near_prior import FILE, NearPrior
from forecasting.special_days import SpecialDays

REPOSITORY = Path(__file__).parents[1]
RECORDED = REPOSITORY.parent / "shared" / "data"
HOURS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0, 24.0, NEAR_HOURS)
"""Leads at which weights are learned."""
LONGEST = timedelta(days=730)
SPACING_HOURS = 5.25
"""Between origins: every slot of the day is one in turn."""
PENALTY_SHARE = 1e-3
"""Rows of the penalty towards 0, per row."""
REWEIGHTINGS = 6


@dataclass(frozen=True)
class Sample:
    """Rows of one load in units of its anomalies, by lead [h]: (n, b·p) products and (n,) targets."""

    place: str
    by_hours: Mapping[float, tuple[Array, Array]]
    shape: tuple[int, int]
    """(b, p)."""


def sample_of(load: Load) -> Sample:
    clock, end = load.clock, load.scored_until.to_pydatetime()
    series = load.series.loc[end - LONGEST :]
    record = Record(series.to_frame(load.name), clock.step_minutes)
    days = day_table(record, load.day_type, clock.zone, Schedule((end,), timedelta(days=2), timedelta(days=1)))
    past = measured(series, clock, clock.first_step(end))
    past = SpecialDays.of(past, clock, days).removed_from(past)
    first, last = past.first + FIRST_ORIGIN_DAYS * clock.steps_per_day, past.end - len(near_leads(clock))
    view = near_view(past, spaced_origins(first, last, clock.steps_in(SPACING_HOURS) or 1, clock), clock, days)
    view = view.of(view.usable)
    view.features[:, :, -SHAPE_FEATURES:] = 0.0
    by_hours = {}
    for hours in (hours for hours in HOURS if clock.steps_in(hours) >= 1):
        lead = clock.steps_in(hours) - 1
        odd = past.at(view.origins + lead) - view.profile[:, lead]
        known = np.isfinite(odd)
        unit = float(np.abs(odd[known]).mean()) * np.sqrt(known.sum())
        by_hours[hours] = (products(view, lead)[known] / unit, odd[known] / unit)
    return Sample(load.place, by_hours, (view.basis.shape[2], view.features.shape[2]))


def learned(samples: Sequence[Sample], name: str) -> NearPrior:
    """The weights that hold best over all samples."""
    weights = [_pooled([sample.by_hours[hours] for sample in samples if hours in sample.by_hours]) for hours in HOURS]
    return NearPrior(name, np.array(HOURS), np.stack(weights).reshape(len(HOURS), *samples[0].shape))


def _pooled(rows: Iterable[tuple[Array, Array]]) -> Array:
    inputs, targets = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    nothing = np.zeros(inputs.shape[1])
    return robust_ridge(inputs, targets, nothing, nothing, PENALTY_SHARE * len(inputs), REWEIGHTINGS)


class Elsewhere:
    """Priors for back-tests: each learned from the loads of other places."""

    def __init__(self, loads: Sequence[Load]) -> None:
        self._loads = loads
        self._known: dict[str, NearPrior] = {}

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        return tuple(sample_of(load) for load in self._loads)

    def than(self, place: str) -> NearPrior:
        if place not in self._known:
            others = [sample for sample in self._samples if sample.place != place]
            self._known[place] = learned(others, f"{len(others)} loads of other places than {place}")
        return self._known[place]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=RECORDED, help="folder of the recorded loads")
    parser.add_argument("--write", action="store_true", help="put it in the place of the shipped one")
    chosen = parser.parse_args()
    loads = recorded_loads(chosen.data)
    prior = learned([sample_of(load) for load in loads], f"{len(loads)} recorded loads")
    text = prior.written(loads=[f"{load.place}: {load.name}, {load.carrier}" for load in loads])
    if chosen.write:
        (REPOSITORY / "forecasting" / FILE).write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
