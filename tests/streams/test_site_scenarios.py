"""From the site file's `uncertainty` to a plan over several scenarios that can be made again from the ledger."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from forecasting.forecast import LEVELS, Forecast
from optimizer.devices import ExpectedCars
from optimizer.plan import PlanDocument
from site_configs.site import Site, UncertaintyChoice
from streams.control_cycle import control_cycle, planner_for
from streams.frozen import thaw_plan, thaw_situation
from streams.ledger import Ledger
from streams.planning import PlanJob, PlanningHandler, prepare
from streams.site_forecasts import series_kinds
from streams.site_runtime import SiteRuntime
from streams.site_scenarios import groups_of, scenario_rng
from tests.streams.story import START, at, light_park
from tests.streams.test_planning import past


def careful_park() -> Site:
    choice = UncertaintyChoice(scenarios=3, risk_weight=0.3, risk_level=0.5)
    return light_park().model_copy(update={"uncertainty": choice, "horizon_hours": 6})


def job_of(site: Site, folder: Path) -> PlanJob:
    """A cycle after twelve days that were each a little different."""
    days = past(12)
    days *= 1 + 0.1 * np.random.default_rng(1).standard_normal(12).repeat(96)[: len(days), None]
    with Ledger(folder / "ledger.db") as ledger:
        runtime = SiteRuntime.restore(site, ledger, days)
        recent = runtime.recent(at(0)).reindex(columns=list(series_kinds(site)))
        return PlanJob(site, runtime.state_at(at(0)), recent, None, 60)


def test_a_site_without_the_section_plans_for_the_central_forecast(tmp_path: Path) -> None:
    job = job_of(light_park(), tmp_path)
    decision = PlanningHandler().handle(job, lambda part: None)
    assert "uncertainty" not in json.loads(decision.situation)
    assert decision.plan.scenarios is None


def test_a_cycle_with_scenarios_can_be_made_again_from_the_ledger(tmp_path: Path) -> None:
    site = careful_park()
    decision = PlanningHandler().handle(job_of(site, tmp_path), lambda part: None)
    outcome = PlanDocument.model_validate_json(decision.plan_document).scenarios
    assert outcome is not None
    assert len(outcome.costs) == len(set(outcome.costs)) == 3
    assert outcome.costs[0] == pytest.approx(decision.plan.total_cost)
    assert min(outcome.costs) <= outcome.expected_cost <= outcome.cvar <= max(outcome.costs)
    situation = thaw_situation(decision.situation)
    again = control_cycle(site, planner_for(site), situation, None, deadline_s=60.0).plan
    assert again.content_hash == decision.plan_hash
    assert thaw_plan(decision.plan_document, situation.grid).content_hash == decision.plan_hash


def test_the_courses_lie_around_the_central_one(tmp_path: Path) -> None:
    job = job_of(careful_park(), tmp_path)
    situation = prepare(job.site, job.state, job.recent, None).situation
    assert situation.uncertainty is not None
    near = situation.grid.near
    one, other = (path["load.demand_kw"][:near] for path in situation.uncertainty.paths)
    central = situation.need("load.demand_kw")[:near]
    assert np.all((np.minimum(one, other) <= central + 0.01) & (central - 0.01 <= np.maximum(one, other)))
    assert np.abs(one - other).max() > 20.0
    assert all(path["pv1.available_kw"].min() >= 0.0 for path in situation.uncertainty.paths)
    again = prepare(job.site, job.state, job.recent, None).situation
    assert again.uncertainty is not None
    for path, same in zip(situation.uncertainty.paths, again.uncertainty.paths, strict=True):
        assert all(np.array_equal(values, same[name]) for name, values in path.items())


def test_no_two_moments_have_the_same_luck() -> None:
    site = light_park()
    now, same, later = (scenario_rng(site, START + timedelta(minutes=m)).random() for m in (0, 0, 15))
    assert now == same != later


def test_prices_are_certain_and_cars_of_a_group_come_as_one() -> None:
    site = light_park()
    cars = ExpectedCars(id="ev", chargers=("ev01",), charge_limit_kw=20)
    site = site.model_copy(update={"devices": (*site.devices, cars)})
    learned = {
        "load.demand_kw": 2.5, "ev.arriving_kw": None, "ev.leaving_kw": None, "pv1.available_kw": None,
        "market.import_price_per_kwh": None,
    }  # fmt: skip
    forecasts = {name: hourly(name, hours) for name, hours in learned.items()}
    groups = groups_of(site, forecasts, 4.0)
    assert [(group.series, group.correlation_hours) for group in groups] == [
        (("ev.arriving_kw", "ev.leaving_kw"), math.inf),
        (("load.demand_kw",), 2.5),
        (("pv1.available_kw",), 4.0),
    ]


def hourly(name: str, memory_hours: float | None) -> Forecast:
    index = pd.date_range(START, periods=4, freq="h")
    paths = {level: np.zeros(4) for level in LEVELS}
    return Forecast(name, START, "test", 60, index, paths, memory_hours=memory_hours)


@pytest.mark.parametrize(
    "wrong", [{"scenarios": 4}, {"scenarios": 1}, {"risk_weight": 1.0}, {"risk_level": 1.0}, {"correlation_hours": 0}]
)
def test_a_choice_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        UncertaintyChoice.model_validate(wrong)
