"""The closed loop of `benchmarks/optimality.py`: its fortnights, a few of its steps, and its money."""

from __future__ import annotations

from datetime import timedelta

import closed_loop
import numpy as np
import pytest
from closed_loop import Fixed, Loop
from recorded_parks import DAYS, FIRST_SATURDAY, START, Fortnight

from optimizer.planner import Planner


@pytest.mark.parametrize(("park", "week"), [("works", 0), ("works", 14), ("campus", 0), ("campus", 8)])
def test_a_fortnight_is_recorded_and_keeps_its_weekdays(park, week: int) -> None:  # type: ignore[no-untyped-def]
    fortnight = Fortnight(park, week)
    assert len(fortnight.series) == (DAYS + 1) * 96
    assert fortnight.series.notna().all(axis=None)
    assert START.astimezone(fortnight.site.zone).strftime("%A %H:%M") == "Saturday 00:00"
    assert FIRST_SATURDAY[park].astimezone(fortnight.site.zone).weekday() == 5
    assert (START + timedelta(days=DAYS)).astimezone(fortnight.site.zone).day == 1


def test_only_cars_that_are_here_are_known_and_the_others_are_expected() -> None:
    fixed = Fixed(Fortnight("works", 6, cars=True), "unknown_cars")
    loop = Loop(fixed, Planner("works", fixed.devices))
    at = 2 * 96 + 40  # Monday 10:00
    situation = loop.situation(at)
    cars = [car for cars in situation.sessions.values() for car in cars]
    assert cars
    assert all(car.arrive <= situation.grid.start < car.depart for car in cars)
    assert situation.series["ev.arriving_kw"][:96].max() > 0


def test_the_loop_executes_first_steps_and_pays_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 3
    monkeypatch.setattr(closed_loop, "STEPS", steps)
    fixed = Fixed(Fortnight("campus", 0), "known")
    loop = Loop(fixed, Planner("campus", fixed.devices))
    loop.run()
    flows = {name: np.asarray(values) for name, values in loop.executed.items()}
    paid = closed_loop.money(fixed, flows, loop.states, loop.missed_kwh)
    taken = flows["grid", "import_kw"]
    assert taken.shape == (steps,)
    assert loop.peak_kw == taken.max()
    assert paid["energy"] == pytest.approx(float(taken @ fixed.whole_prices.import_per_kwh[:steps]) / 4)
    assert paid["demand"] == pytest.approx(fixed.whole_prices.demand[0].price_per_kw * taken.max())
    assert paid["missed"] == pytest.approx(0.0, abs=1e-6)
    battery = loop.states["battery1"]["energy_kwh"]
    moved = 0.95 * flows["battery1", "charge_kw"].sum() - flows["battery1", "discharge_kw"].sum() / 0.95
    assert battery == pytest.approx(750.0 * (1 - 0.00004) ** 0.75 + moved / 4, rel=1e-4)
