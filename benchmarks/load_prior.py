"""What other loads are worth to the forecast of one, on recorded loads of many kinds; and learns what they show.

For each load ten weeks with a fit a week, after a short history and after a long one: the error of the linear model
that begins with weights learned on the loads of other places (`Elsewhere`), over that of one that begins with none; and
the error of its mean with trees grown on the loads of other places, over its own. With `--write` weights and trees of
all loads take the place of those in the package. Every load counts the same, in units of its own anomalies.
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
from forecasting.boosted import grown, scale_of
from forecasting.day_ahead import DEPTH, SHARE_OF_FEATURES, looks_back, units_of, usual_day_ahead
from forecasting.day_types import Bools, DayTable, LocalClock, spaced_origins
from forecasting.forecast import Array
from forecasting.load_prior import TREES_FILE, WEIGHTS_FILE, LoadPrior, forest_written
from forecasting.measured import Measured, measured
from forecasting.members import first_origin
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
from forecasting.near_prior import NearPrior
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
TREES = 300
ROWS_OF_TREES = 8_000
"""Of each load."""
SPREAD_HOURS = 2.0
"""Leads are drawn the rarer the longer they are than this."""
MOST_SCALES = 30.0
"""A target counts as so many usual distances at most: one load's wildest day must not lead."""
SEED = 3


@dataclass(frozen=True)
class Sample:
    """Rows of one load in units of its anomalies."""

    place: str
    by_hours: Mapping[float, tuple[Array, Array]]
    """By lead [h]: (n, b·p) products and (n,) targets of the linear model."""
    shape: tuple[int, int]
    """(b, p)."""
    day_ahead: tuple[Array, Array]
    """(n, features) and (n,) targets of the trees."""


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
    return Past(values, days, (first_origin(values, clock), values.end - len(near_leads(clock))))


def sample_of(load: Load) -> Sample:
    clock, known = load.clock, past_of(load, LONGEST)
    past = SpecialDays.of(known.values, clock, known.days).removed_from(known.values)
    origins = spaced_origins(*known.origins, clock.steps_in(SPACING_HOURS) or 1, clock)
    view = near_view(past, origins, clock, known.days)
    view = view.of(view.usable)
    odd = past.at(view.origins[:, None] + near_leads(clock)) - view.profile
    of_trees = _rows_of_trees(past, view, odd, clock, known.days)
    view.features[:, :, PROFILE_STEP:] = 0.0
    by_hours = {}
    for hours in (hours for hours in HOURS if clock.steps_in(hours) >= 1):
        lead = clock.steps_in(hours) - 1
        known_rows = np.isfinite(odd[:, lead])
        unit = float(np.abs(odd[known_rows, lead]).mean()) * np.sqrt(known_rows.sum())
        by_hours[hours] = (view.products(lead)[known_rows] / unit, odd[known_rows, lead] / unit)
    return Sample(load.place, by_hours, (view.basis.shape[2], view.features.shape[2]), of_trees)


def _rows_of_trees(
    past: Measured, view: NearView, odd: Array, clock: LocalClock, days: DayTable
) -> tuple[Array, Array]:
    """Some origins and leads, near ones more often: the far ones of an origin tell much the same."""
    at, leads = np.nonzero(np.isfinite(odd))
    often = 1.0 / ((leads + 1) * clock.step_minutes / 60 + SPREAD_HOURS)
    count = min(ROWS_OF_TREES, len(at))
    taken = np.random.default_rng(SEED).choice(len(at), count, replace=False, p=often / often.sum())
    scale = scale_of(odd)
    rows = looks_back(past, view, (at[taken], leads[taken]), clock, days) / units_of(scale)
    return rows, np.clip(odd[at, leads][taken] / scale, -MOST_SCALES, MOST_SCALES)


def learned(samples: Sequence[Sample], name: str) -> LoadPrior:
    """What holds best over all samples."""
    weights = [_pooled([sample.by_hours[hours] for sample in samples if hours in sample.by_hours]) for hours in HOURS]
    rows, targets = (np.concatenate(parts) for parts in zip(*(sample.day_ahead for sample in samples), strict=True))
    return LoadPrior(
        NearPrior(name, np.array(HOURS), np.stack(weights).reshape(len(HOURS), *samples[0].shape)),
        grown(rows, targets, TREES, depth=DEPTH, share_of_features=SHARE_OF_FEATURES),
    )


def _pooled(rows: Iterable[tuple[Array, Array]]) -> Array:
    inputs, targets = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    nothing = np.zeros(inputs.shape[1])
    return robust_ridge(inputs, targets, nothing, nothing, PENALTY_SHARE * len(inputs), REWEIGHTINGS)


class Elsewhere:
    """Priors for back-tests and replays: each learned from the loads of other places."""

    def __init__(self, loads: Sequence[Load]) -> None:
        self._loads = loads
        self._known: dict[str, LoadPrior] = {}

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        return tuple(sample_of(load) for load in self._loads)

    def than(self, *places: str) -> LoadPrior:
        """What all loads but those of these places show."""
        key = " and ".join(sorted(set(places)))
        if key not in self._known:
            others = [sample for sample in self._samples if sample.place not in places]
            self._known[key] = learned(others, f"{len(others)} loads of other places than {key}")
        return self._known[key]


@dataclass(frozen=True)
class Weeks:
    """A load around the weeks that are scored."""

    load: Load
    past: Past
    view: NearView
    odd: Array
    """(n, leads) anomalies that came."""

    def ratios(self, prior: LoadPrior) -> dict[str, tuple[float, float]]:
        """By lead: error of the model that begins with the prior over that of the one that begins with none, and of the
        mean of the first and the prior's trees over that of the first."""
        clock, day = self.load.clock, self.load.clock.steps_per_day
        end = clock.first_step(self.load.scored_until.to_pydatetime())
        leads = self._leads()
        missed: dict[str, list[tuple[Array, Array, Array]]] = {name: [] for name in leads}
        for monday in range(end - WEEKS * 7 * day, end, 7 * day):
            before = self.view.origins + self.odd.shape[1] <= monday
            scored = (self.view.origins >= monday) & (self.view.origins < monday + 7 * day) & self.view.usable
            if (before & self.view.usable).sum() < MIN_ORIGINS or not scored.any():
                continue
            known, ahead = self.view.of(before), self.view.of(scored)
            targets = (self.odd + self.view.profile)[before]
            begun = fit_near(known, targets, clock, prior.weights).anomalies_ahead(ahead)
            trees = usual_day_ahead(known, targets, prior.trees)
            others = trees.forecast(self.past.values, ahead, clock, self.past.days)[1] - ahead.profile
            mixed = (begun + others) / 2
            for name, lead in leads.items():
                found = begun[:, lead], mixed[:, lead], self._without(known, ahead, before, lead)
                missed[name].append(tuple(self.odd[scored, lead] - way for way in found))
        return {name: _compared(missed[name]) for name in leads if missed[name]}

    def _without(self, known: NearView, ahead: NearView, before: Bools, lead: int) -> Array:
        """Anomalies expected by a ridge towards 0, as if so many rows had shown no effect."""
        usable, nothing = known.usable, np.zeros(known.basis.shape[2] * known.features.shape[2])
        rows = known.products(lead)[usable]
        weights = robust_ridge(rows, self.odd[before, lead][usable], nothing, nothing, ROWS_WITHOUT)
        expected: Array = ahead.products(lead) @ weights
        return expected

    def _leads(self) -> dict[str, int]:
        steps = {name: self.load.clock.steps_in(hours) for name, hours in LEAD_HOURS.items()}
        return {name: max(count, 1) - 1 for name, count in steps.items()}


def _compared(missed: Sequence[tuple[Array, ...]]) -> tuple[float, float]:
    begun, mixed, without = (_mean_error(parts) for parts in zip(*missed, strict=True))
    return begun / without, mixed / begun


def _mean_error(missed: Sequence[Array]) -> float:
    return float(np.nanmean(np.abs(np.concatenate(missed))))


def weeks_of(load: Load, history: timedelta) -> Weeks:
    clock, past = load.clock, past_of(load, WEEKS * timedelta(days=7) + history)
    origins = np.arange(*past.origins, clock.steps_in(SCORED_HOURS) or 1, dtype=np.int64)
    view = near_view(past.values, origins, clock, past.days)
    return Weeks(load, past, view, past.values.at(origins[:, None] + near_leads(clock)) - view.profile)


def measure(loads: Sequence[Load]) -> list[Figure]:
    elsewhere, figures = Elsewhere(loads), []
    for name, history in HISTORIES.items():
        found = tracked(
            (weeks_of(load, history).ratios(elsewhere.than(load.place)) for load in loads), len(loads), name
        )
        how = f"{history.days} days before ten weeks, a fit a week"
        for lead in LEAD_HOURS:
            pairs = [of_load[lead] for of_load in found if lead in of_load]
            for what, ratios in zip(("", "with_trees_"), zip(*pairs, strict=True), strict=True):
                figures.append(Figure(f"{what}{name}_{lead}", geometric(ratios), "ratio", f"{how}, {len(pairs)} loads"))
                figures.append(Figure(f"worst_{what}{name}_{lead}", max(ratios), "ratio", "of a load"))
    return figures


def write(loads: Sequence[Load]) -> None:
    prior = learned([sample_of(load) for load in loads], f"{len(loads)} recorded loads")
    text = prior.weights.written(loads=[f"{load.place}: {load.name}, {load.carrier}" for load in loads])
    (REPOSITORY / "forecasting" / WEIGHTS_FILE).write_text(text, encoding="utf-8")
    (REPOSITORY / "forecasting" / TREES_FILE).write_bytes(forest_written(prior.trees))


def _measured(options: argparse.Namespace) -> list[Figure]:
    require_loads(options.data)
    loads = recorded_loads(options.data)
    if options.write:
        write(loads)
    return measure(loads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=RECORDED, help="folder of the recorded loads: recorded_loads.py")
    parser.add_argument("--write", action="store_true", help="write what all loads show into the package, too")
    run("load_prior", parser, _measured)


if __name__ == "__main__":
    main()
