"""What the weights of other loads are worth to the linear model, on recorded loads of many kinds; and learns them.

For each load ten weeks with a fit a week, after a short history and after a long one: the error of the linear model
that begins with weights learned on the loads of other places (`Elsewhere`), over that of one that begins with none.
With `--write` the weights of all loads take the place of those in the package. Every load counts the same, in units
of its own anomalies.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
from figures import Figure, geometric, run, tracked
from recorded_loads import RECORDED, Load, recorded_loads, require_loads

from forecasting.backtest import Record, Schedule, day_table
from forecasting.day_types import Bools, DayTable, spaced_origins
from forecasting.forecast import Array
from forecasting.measured import Measured, measured
from forecasting.members import FIRST_ORIGIN_DAYS
from forecasting.near_model import (
    MIN_ORIGINS,
    NEAR_HOURS,
    PROFILE_STEP,
    NearView,
    fit_near,
    near_leads,
    near_view,
    robust_ridge,
)
from forecasting.near_prior import FILE, NearPrior
from forecasting.special_days import SpecialDays

REPOSITORY = Path(__file__).parents[1]
HOURS = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0, 24.0, NEAR_HOURS)
"""Leads at which weights are learned."""
LONGEST = timedelta(days=730)
SPACING_HOURS = 5.25
"""Between origins: every slot of the day is one in turn."""
PENALTY_SHARE = 1e-3
"""Rows of the penalty towards 0, per row."""
REWEIGHTINGS = 6
WEEKS = 10
HISTORIES = {"new": timedelta(days=30), "known": timedelta(days=400)}
LEAD_HOURS = {"1step": 0.0, "1h": 1.0, "4h": 4.0, "8h": 8.0, "12h": 12.0, "24h": 24.0}
SCORED_HOURS = 1.5
"""Between origins that are fitted and scored."""
ROWS_WITHOUT = 30.0
"""Penalty of the model that begins with nothing."""


@dataclass(frozen=True)
class Sample:
    """Rows of one load in units of its anomalies, by lead [h]: (n, b·p) products and (n,) targets."""

    place: str
    by_hours: Mapping[float, tuple[Array, Array]]
    shape: tuple[int, int]
    """(b, p)."""


@dataclass(frozen=True)
class Past:
    """The last stretch of a load's record."""

    values: Measured
    days: DayTable
    origins: tuple[int, int]
    """First one with what a view looks back at, and the end of those whose leads were measured."""


def past_of(load: Load, length: timedelta) -> Past:
    clock, end = load.clock, load.scored_until.to_pydatetime()
    series = load.series.loc[end - length :]
    record = Record(series.to_frame(load.name), clock.step_minutes)
    days = day_table(record, load.day_type, clock.zone, Schedule((end,), timedelta(days=2), timedelta(days=1)))
    values = measured(series, clock, clock.first_step(end))
    first, last = values.first + FIRST_ORIGIN_DAYS * clock.steps_per_day, values.end - len(near_leads(clock))
    return Past(values, days, (first, last))


def sample_of(load: Load) -> Sample:
    clock, known = load.clock, past_of(load, LONGEST)
    past = SpecialDays.of(known.values, clock, known.days).removed_from(known.values)
    origins = spaced_origins(*known.origins, clock.steps_in(SPACING_HOURS) or 1, clock)
    view = near_view(past, origins, clock, known.days)
    view = view.of(view.usable)
    view.features[:, :, PROFILE_STEP:] = 0.0
    by_hours = {}
    for hours in (hours for hours in HOURS if clock.steps_in(hours) >= 1):
        lead = clock.steps_in(hours) - 1
        odd = past.at(view.origins + lead) - view.profile[:, lead]
        known = np.isfinite(odd)
        unit = float(np.abs(odd[known]).mean()) * np.sqrt(known.sum())
        by_hours[hours] = (view.products(lead)[known] / unit, odd[known] / unit)
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


@dataclass(frozen=True)
class Weeks:
    """A load around the weeks that are scored."""

    load: Load
    view: NearView
    odd: Array
    """(n, leads) anomalies that came."""

    def ratios(self, prior: NearPrior) -> dict[str, float]:
        """By lead: error of the model that begins with the prior over that of the one that begins with none."""
        clock, day = self.load.clock, self.load.clock.steps_per_day
        end = clock.first_step(self.load.scored_until.to_pydatetime())
        leads = self._leads()
        ours: dict[str, list[Array]] = {name: [] for name in leads}
        theirs: dict[str, list[Array]] = {name: [] for name in leads}
        for monday in range(end - WEEKS * 7 * day, end, 7 * day):
            before = self.view.origins + self.odd.shape[1] <= monday
            scored = (self.view.origins >= monday) & (self.view.origins < monday + 7 * day) & self.view.usable
            if (before & self.view.usable).sum() < MIN_ORIGINS or not scored.any():
                continue
            known, ahead = self.view.of(before), self.view.of(scored)
            begun = fit_near(known, (self.odd + self.view.profile)[before], clock, prior).anomalies_ahead(ahead)
            for name, lead in leads.items():
                ours[name].append(self.odd[scored, lead] - begun[:, lead])
                theirs[name].append(self._without(known, ahead, before, scored, lead))
        return {name: _mean_error(ours[name]) / _mean_error(theirs[name]) for name in leads if ours[name]}

    def _without(self, known: NearView, ahead: NearView, before: Bools, scored: Bools, lead: int) -> Array:
        """Errors of a ridge towards 0, as if so many rows had shown no effect."""
        usable, nothing = known.usable, np.zeros(known.basis.shape[2] * known.features.shape[2])
        rows = known.products(lead)[usable]
        weights = robust_ridge(rows, self.odd[before, lead][usable], nothing, nothing, ROWS_WITHOUT)
        return self.odd[scored, lead] - ahead.products(lead) @ weights

    def _leads(self) -> dict[str, int]:
        steps = {name: self.load.clock.steps_in(hours) for name, hours in LEAD_HOURS.items()}
        return {name: max(count, 1) - 1 for name, count in steps.items()}


def _mean_error(missed: Sequence[Array]) -> float:
    return float(np.nanmean(np.abs(np.concatenate(missed))))


def weeks_of(load: Load, history: timedelta) -> Weeks:
    clock, past = load.clock, past_of(load, WEEKS * timedelta(days=7) + history)
    origins = np.arange(*past.origins, clock.steps_in(SCORED_HOURS) or 1, dtype=np.int64)
    view = near_view(past.values, origins, clock, past.days)
    return Weeks(load, view, past.values.at(origins[:, None] + near_leads(clock)) - view.profile)


def measure(loads: Sequence[Load]) -> list[Figure]:
    elsewhere, figures = Elsewhere(loads), []
    for name, history in HISTORIES.items():
        found = tracked(
            (weeks_of(load, history).ratios(elsewhere.than(load.place)) for load in loads), len(loads), name
        )
        for lead in LEAD_HOURS:
            ratios = [of_load[lead] for of_load in found if lead in of_load]
            how = f"{history.days} days before ten weeks, a fit a week, {len(ratios)} loads"
            figures.append(Figure(f"{name}_{lead}", geometric(ratios), "ratio", how))
            figures.append(Figure(f"worst_{name}_{lead}", max(ratios), "ratio", "of a load"))
    return figures


def write(loads: Sequence[Load]) -> None:
    prior = learned([sample_of(load) for load in loads], f"{len(loads)} recorded loads")
    text = prior.written(loads=[f"{load.place}: {load.name}, {load.carrier}" for load in loads])
    (REPOSITORY / "forecasting" / FILE).write_text(text, encoding="utf-8")


def _measured(options: argparse.Namespace) -> list[Figure]:
    require_loads(options.data)
    loads = recorded_loads(options.data)
    if options.write:
        write(loads)
    return measure(loads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=RECORDED, help="folder of the recorded loads: recorded_loads.py")
    parser.add_argument("--write", action="store_true", help="write the weights of all loads into the package, too")
    run("near_prior", parser, _measured)


if __name__ == "__main__":
    main()
