"""PV: the plant's clear-sky index, carried from what is seen now to what the last weeks say.

    r̂[o+h] = w[h]·x[o, h] + d(r̂),   P̂ = r̂·E                                                   (1)

E is what the plant gives under a clear sky, x the indices seen at the origin (`clear_sky.py`) and, where one was
issued, what a weather forecast says of the target. The weights w are fitted for the least absolute error in kW
(`pv_model.py`): one set per lead within the day, interpolated between, one for tomorrow and one for later days. With
little history they stay at those of persistence that fades to the month's mean. d are quantiles of the errors, by set
and by how clear it is to be: thick clouds and a clear sky are sure, what lies between is not.

Bounds are physical: never above the capacity or what the plant ever gave, 0 without sun.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from forecasting.cleaning import Nature
from forecasting.clear_sky import PlantSky, seen
from forecasting.day_types import Bools, Ints
from forecasting.forecast import LEVELS, Array
from forecasting.kinds import FitContext, Outcome
from forecasting.measured import Measured
from forecasting.published import SECONDS_RANGE, Published
from forecasting.pv_model import CLOUD, IRRADIANCE, Plant, fit_pv, foreseen_index, index_quantiles, training_pairs
from forecasting.sun import Position, clear_irradiance
from forecasting.weight_sets import FEWEST_ROWS, WeightSets

HISTORY_DAYS = 400
KEPT_DAYS = 45
"""The month's mean of r needs r of 28 days, and that of the first needs the two weeks before it."""
NIGHT_SHARE = 0.002
"""Power below this share of the capacity is none [-]: inverters idle a little above zero."""
DARK_HOURS, DARK_INDEX = 3.0, 0.01
"""No output for so many hours of light: snow or a fault, and not gone before the night."""


@dataclass(frozen=True)
class Pv:
    """Available power of a PV plant [kW]."""

    capacity_kw: float
    position: Position | None = None
    """Where it stands; without it the sun's course is read from the last two weeks."""
    measured: bool = True
    lowest: float = 0.0
    nature: Nature = "pv"

    @property
    def highest(self) -> float:
        return self.capacity_kw

    def fit(self, past: Measured, context: FitContext) -> FittedPv:
        """Weights and spread from the last 400 days."""
        clock, day = context.clock, context.clock.steps_per_day
        first = max(min(past.first, past.end - 2 * day), past.end - HISTORY_DAYS * day)
        past = past.between(first, past.end)
        past = replace(past, values=_power(past.values, self.capacity_kw))
        sun = None if self.position is None else clear_irradiance(self.position, clock, past.first - day, context.end)
        plant = Plant(clock, sun, float(np.max(np.nan_to_num(past.values), initial=0.0)))
        weather = next((name for name in (IRRADIANCE, CLOUD) if name in context.published.series), None)
        pairs = training_pairs(past, plant, weather, context.published)
        kept = past.between(max(past.first, past.end - KEPT_DAYS * day), past.end)
        plain = fit_pv(pairs.features, pairs)
        informed = fit_pv(pairs.informed_features, pairs) if pairs.foreseen_count >= FEWEST_ROWS else None
        return FittedPv(plant, kept, self.capacity_kw, plain, informed, weather)


@dataclass(frozen=True)
class FittedPv:
    plant: Plant
    kept: Measured
    capacity_kw: float
    plain: WeightSets
    informed: WeightSets | None
    """With the weather forecast; None where there was too little of it to learn from."""
    weather: str | None
    """The announced series that is believed."""
    published: Published = field(default_factory=Published)

    def told(self, published: Published) -> FittedPv:
        """Knowing what was announced before the issue time."""
        return replace(self, published=published)

    def issue(self, recent: Measured, origin: int, end: int) -> Outcome:
        day = self.plant.clock.steps_per_day
        past = self.kept.overlaid(recent, origin).between(origin - KEPT_DAYS * day, origin)
        if past.known < day:
            return Outcome({level: np.zeros(end - origin) for level in LEVELS}, "zero (less than a day measured)")
        sky = self.plant.sky(replace(past, values=_power(past.values, self.capacity_kw)))
        targets = np.arange(origin, end, dtype=np.int64)
        index, clear_kw, told = self._index(sky, origin, targets)
        dark = self._is_dark(sky, origin)
        if dark:
            today = (targets - sky.first) // day == (origin - sky.first) // day
            index[: LEVELS.index(0.5) + 1, today] = 0.0
        paths = np.clip(index * clear_kw, 0.0, min(self.capacity_kw, self.plant.most_kw))
        return Outcome(dict(zip(LEVELS, paths, strict=True)), _method(bool(told.any()), dark))

    def _index(self, sky: PlantSky, origin: int, targets: Ints) -> tuple[Array, Array, Bools]:
        """(levels, n) r̂, (n,) E and (n,) whether a weather forecast was used."""
        origins = np.full(len(targets), origin)
        view = seen(sky, origins, targets, self.plant.irradiance(targets))
        shares = self.plant.shares(origins, targets, sky.first)
        index = index_quantiles(self.plain, view.features, shares)
        if self.informed is None:
            return index, view.clear_kw, np.zeros(len(targets), dtype=bool)
        foreseen = foreseen_index(self.plant, self.weather, self.published, targets, SECONDS_RANGE - 1)
        told = np.isfinite(foreseen)
        features = np.column_stack([view.features, foreseen])[told]
        index[:, told] = index_quantiles(self.informed, features, shares[told])
        return index, view.clear_kw, told

    def _is_dark(self, sky: PlantSky, origin: int) -> bool:
        """Whether the plant gives nothing though the sun is up, and has for hours."""
        return sky.recent_index(origin, self.plant.clock.steps_in(DARK_HOURS) or 1) < DARK_INDEX


def _method(told: bool, dark: bool) -> str:
    name = "clear-sky index+weather forecast" if told else "clear-sky index"
    return f"{name} (no output in {DARK_HOURS:g} h of light)" if dark else name


def _power(values: Array, capacity_kw: float) -> Array:
    clipped = np.clip(values, 0.0, capacity_kw)
    return np.where(clipped <= NIGHT_SHARE * capacity_kw, np.where(np.isfinite(clipped), 0.0, np.nan), clipped)
