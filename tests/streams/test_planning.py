"""There is always a decision: from the worker, else the fallback, else safe values. And a model fitted once a night."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.provenance import Provenance, code_version, library_versions
from optimizer.devices import ExpectedCars
from optimizer.situation import Session
from streams import planning
from streams.ledger import Ledger
from streams.planning import (
    FitJob,
    FittedModels,
    FittingHandler,
    PlanJob,
    PlanningDesk,
    PlanningHandler,
    fall_back,
    prepare,
)
from streams.records import StoredModel
from streams.site_forecasts import fit_site, series_kinds
from streams.site_runtime import SiteRuntime
from streams.workers import WorkerError, WorkerPool
from tests.streams.story import EMPTY, STEP, at, light_park

DAY = 96
PROJECT = Path(__file__).parents[2]


def past(days: int) -> pd.DataFrame:
    """Recorded quarter hours of load and PV before the story."""
    index = pd.date_range(at(-days * DAY), at(-1), freq=STEP, name="time", unit="s")
    hour = np.arange(len(index)) % DAY / 4
    frame = {
        "load.demand_kw": 400 + 100 * np.sin(hour / 24 * 6.28),
        "pv1.available_kw": np.maximum(0, 200 - 30 * abs(hour - 12)),
    }
    return pd.DataFrame(frame, index=index)  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as one:
        yield one


@pytest.fixture
def runtime(ledger):
    return SiteRuntime.restore(light_park(), ledger, past(12))


def job_of(runtime: SiteRuntime) -> PlanJob:
    columns = list(series_kinds(runtime.site))
    return PlanJob(runtime.site, runtime.state_at(at(0)), runtime.recent(at(0)).reindex(columns=columns), None, 5)


def test_the_series_of_a_site_are_those_its_devices_need():
    assert set(series_kinds(light_park())) == {"load.demand_kw", "pv1.available_kw"}


def test_cars_are_expected_from_past_stays():
    site = light_park()
    cars = ExpectedCars(id="ev", chargers=("ev01",), charge_limit_kw=20)
    site = site.model_copy(update={"devices": (*site.devices, cars)})
    stays = tuple(
        Session(f"s{day}", "ev01", at(-96 * day), at(-96 * day + 8), 12.0) for day in range(1, 8)
    )  # every day at 16:00Z, local midnight, for two hours
    fitted = fit_site(site, past(12), at(-4), stays)
    issued = fitted.issue(past(12), at(-4), at(96))
    came, left = issued["ev.arriving_kw"].median, issued["ev.leaving_kw"].median
    assert came[at(0)] > 0
    assert came.sum() == left.sum() == pytest.approx(came[at(0)])
    assert issued["ev.occupied_pct"].median[at(8)] == 0


def test_a_worker_plans_with_yardsticks_until_a_model_is_fitted(runtime):
    handler, parts = PlanningHandler(), []
    decision = handler.handle(job_of(runtime), parts.append)
    assert decision.plan.status == "optimal"
    assert {setpoint.device for setpoint in decision.setpoints} >= {"battery1", "pv1"}
    assert all("no fitted model yet" in forecast["method"] for forecast in json.loads(decision.forecasts))
    assert parts[0].situation.issued_at == at(0)
    assert handler.handle(job_of(runtime), parts.append).plan_hash == decision.plan_hash


def test_a_fitted_model_is_used_after_it_was_attached(runtime):
    job = FitJob(runtime.site, past(12), at(0), ())
    model = FittingHandler().handle(job, lambda part: None)
    assert json.loads(model.provenance)["fitted_at"].startswith("2026-08-25 16:00")
    handler = PlanningHandler()
    handler.attach("light_park", model.blob)
    decision = handler.handle(job_of(runtime), lambda part: None)
    methods = {forecast["series"]: forecast["method"] for forecast in json.loads(decision.forecasts)}
    assert methods["pv1.available_kw"] == "clear-sky index"
    beyond = replace(job_of(runtime), state=runtime.state_at(at(60 * DAY)))
    late = handler.handle(beyond, lambda part: None)
    assert all("fit again" in forecast["method"] for forecast in json.loads(late.forecasts))


@pytest.mark.parametrize("got_that_far", [True, False])
def test_the_fallback_needs_no_worker(runtime, got_that_far):
    parts = []
    PlanningHandler().handle(job_of(runtime), parts.append)
    decision = fall_back(job_of(runtime), parts[0] if got_that_far else None, "planning failed: too late")
    assert decision.plan.status == "rules"
    assert decision.plan.note.startswith("planning failed: too late")
    assert decision.setpoints


def test_when_even_the_fallback_fails_every_device_is_safe(runtime, monkeypatch):
    def broken(*arguments):
        raise ValueError("no tariff for that day")

    monkeypatch.setattr(planning, "prepare", broken)
    decision = fall_back(job_of(runtime), None, "planning failed")
    assert decision.plan.note == "planning failed; fallback failed: no tariff for that day"
    assert [s.target_kw for s in decision.setpoints] == [s.safe_value_kw for s in decision.setpoints]
    assert "no tariff for that day" in decision.setpoints[0].reason.en


class LostPool:
    """A pool whose worker gets as far as the situation and is then ended."""

    async def run(self, key, job, limit_s, attachment, on_part):
        assert (limit_s(True), limit_s(False)) == (4.0, 64.0)
        PlanningHandler().handle(job, on_part)
        raise WorkerError("no answer within 4 s, the worker was ended")


class NoModels:
    async def model(self, runtime, at):
        return None

    def unfitted(self, site):
        return "no fitted model yet"


def test_the_desk_falls_back_when_the_worker_is_lost(runtime):
    decision = asyncio.run(PlanningDesk(LostPool(), NoModels(), 4.0).decide(runtime, at(0)))
    assert decision.plan.status == "rules"
    assert "no answer within 4 s" in decision.plan.note


class Killed(PlanningHandler):
    """A worker that the system ends in the middle of its solve."""

    def handle(self, job, emit):
        emit(prepare(job.site, job.state, job.recent, None))
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_solver_process_that_is_killed_leaves_a_named_fallback(runtime, monkeypatch):
    monkeypatch.syspath_prepend(PROJECT)

    async def run():
        async with WorkerPool(1, Killed()) as pool:
            return await PlanningDesk(pool, NoModels(), 60.0).decide(runtime, at(0))

    decision = asyncio.run(run())
    assert decision.plan.status == "rules"
    assert decision.plan.note == "planning failed: the worker process ended"
    assert decision.setpoints


class FakePool:
    """Fits at once, or when it is allowed to; counts."""

    fits: list
    gate: asyncio.Event

    def __init__(self, *arguments):
        pass

    async def __aenter__(self):
        return self

    def close(self):
        pass

    async def run(self, key, job, limit_s):
        FakePool.fits.append(job.at)
        await FakePool.gate.wait()
        provenance = json.dumps({"libraries": library_versions(), "code": code_version()})
        return StoredModel(f"{key}:{job.at}", key, job.at, b"blob", provenance)


def test_fits_once_at_first_then_after_every_local_midnight(runtime, ledger, monkeypatch):
    monkeypatch.setattr(planning, "WorkerPool", FakePool)

    async def run():
        FakePool.fits, FakePool.gate = [], asyncio.Event()
        models = FittedModels(ledger, wait_s=0.01)
        assert await models.model(runtime, at(0)) is None
        assert await models.model(runtime, at(1)) is None
        FakePool.gate.set()
        assert (await models.model(runtime, at(2))).fitted_at == at(0)
        assert (await models.model(runtime, at(DAY - 1))).fitted_at == at(0)
        assert FakePool.fits == [at(0)]
        assert (await models.model(runtime, at(DAY))).fitted_at == at(0)
        await asyncio.sleep(0.01)
        assert (await models.model(runtime, at(DAY + 1))).fitted_at == at(DAY)
        assert FakePool.fits == [at(0), at(DAY)]
        again = FittedModels(ledger, wait_s=0.01)
        assert (await again.model(runtime, at(DAY + 2))).fitted_at == at(DAY)
        assert FakePool.fits == [at(0), at(DAY)]

    asyncio.run(run())


def test_a_fit_that_fails_is_tried_again_the_next_day_only(runtime, ledger, monkeypatch):
    class Failing(FakePool):
        async def run(self, key, job, limit_s):
            FakePool.fits.append(job.at)
            raise WorkerError("no data")

    monkeypatch.setattr(planning, "WorkerPool", Failing)

    async def run():
        FakePool.fits = []
        models = FittedModels(ledger, wait_s=1)
        for quarters in (0, 1, 2, DAY, DAY + 1):
            assert await models.model(runtime, at(quarters)) is None
        assert FakePool.fits == [at(0), at(DAY)]

    asyncio.run(run())


def stored(ledger, **changes):
    """A model of the night before in the ledger, with some of its provenance changed."""
    provenance = {"libraries": library_versions(), "code": code_version(), **changes}
    ledger.add_model(StoredModel("m", "light_park", at(-1), b"blob", json.dumps(provenance)))


OTHERS = [
    ({"code": "0123456789abcdef"}, "made by other code (0123456789abcdef, this is"),
    ({"libraries": {**library_versions(), "numpy": "1.0"}}, "made with numpy 1.0, not"),
    ({"libraries": {}}, "prophet unknown, not"),
    ({"libraries": None}, "provenance cannot be read"),
]


@pytest.mark.parametrize(("changes", "why"), OTHERS)
def test_a_stored_model_that_does_not_fit_this_engine_is_refused_and_fitted_again(
    runtime, ledger, monkeypatch, caplog, changes, why
):
    monkeypatch.setattr(planning, "WorkerPool", FakePool)
    stored(ledger, **changes)

    async def run():
        FakePool.fits, FakePool.gate = [], asyncio.Event()
        models = FittedModels(ledger, wait_s=0.01)
        assert await models.model(runtime, at(0)) is None
        assert why in models.unfitted(runtime.site)
        FakePool.gate.set()
        assert (await models.model(runtime, at(1))).fitted_at == at(0)
        assert FakePool.fits == [at(0)]

    asyncio.run(run())
    assert why in caplog.text


def test_a_stored_model_that_fits_is_loaded_without_a_fit(runtime, ledger, monkeypatch):
    monkeypatch.setattr(planning, "WorkerPool", FakePool)
    ledger.add_model(StoredModel("m", "light_park", at(0), b"", Provenance(
        at(0), at(9), None, None, library_versions(), {}, code=code_version()).as_json()))  # fmt: skip

    async def run():
        FakePool.fits = []
        assert (await FittedModels(ledger, wait_s=1).model(runtime, at(1))).model_id == "m"
        assert FakePool.fits == []

    asyncio.run(run())


def test_the_reason_of_the_refusal_stands_in_the_forecasts(runtime):
    job = replace(job_of(runtime), unfitted="the stored model was refused: it was made with numpy 1.0, not 2.0")
    decision = PlanningHandler().handle(job, lambda part: None)
    methods = [forecast["method"] for forecast in json.loads(decision.forecasts)]
    assert all("made with numpy 1.0" in method for method in methods)


def test_sites_are_fitted_side_by_side_in_one_bounded_pool_that_ends_with_the_last(ledger, monkeypatch):
    class Counting(FakePool):
        made, closed, at_once, most = [], 0, 0, 0

        def __init__(self, count, handler, niceness):
            Counting.made.append((count, niceness))
            self._free = asyncio.Semaphore(count)

        def close(self):
            Counting.closed += 1

        async def run(self, key, job, limit_s):
            async with self._free:
                Counting.at_once += 1
                Counting.most = max(Counting.most, Counting.at_once)
                await asyncio.sleep(0.01)
                Counting.at_once -= 1
                return await super().run(key, job, limit_s)

    monkeypatch.setattr(planning, "WorkerPool", Counting)
    runtimes = [SiteRuntime.restore(light_park(f"park{n}"), ledger, past(12)) for n in range(5)]

    async def run():
        FakePool.fits, FakePool.gate = [], asyncio.Event()
        FakePool.gate.set()
        models = FittedModels(ledger, wait_s=10, processes=2)
        return await asyncio.gather(*(models.model(runtime, at(0)) for runtime in runtimes))

    assert [model.site for model in asyncio.run(run())] == [f"park{n}" for n in range(5)]
    assert (Counting.made, Counting.most, Counting.closed) == ([(2, 10)], 2, 1)


def test_a_fit_in_the_pool_gives_a_model_that_plans(runtime, ledger, monkeypatch):
    """The real pool, the real fit, the ledger, a restart."""
    monkeypatch.syspath_prepend(PROJECT)

    async def run():
        models = FittedModels(ledger, wait_s=120, processes=1)
        return await models.model(runtime, at(0)), await FittedModels(ledger, wait_s=0).model(runtime, at(1))

    fitted, loaded = asyncio.run(run())
    assert fitted == loaded
    said = json.loads(loaded.provenance)
    assert said["data_first"].startswith("2026-08-13 16:00")
    assert said["code"] == code_version()
    assert "Demand(" in said["parameters"]["load.demand_kw"]
    handler = PlanningHandler()
    handler.attach("light_park", loaded.blob)
    decision = handler.handle(job_of(runtime), lambda part: None)
    assert not any("no fitted model" in forecast["method"] for forecast in json.loads(decision.forecasts))


def test_without_any_past_there_is_a_plan(ledger):
    bare = SiteRuntime.restore(light_park(), ledger, EMPTY)
    decision = PlanningHandler().handle(job_of(bare), lambda part: None)
    assert decision.plan.status == "optimal"


def test_a_model_that_could_not_be_fitted_again_for_a_week_gives_way(runtime):
    fitted = FittingHandler().handle(FitJob(runtime.site, past(30), at(0), ()), lambda part: None)
    handler = PlanningHandler()
    handler.attach("light_park", fitted.blob)
    methods = []
    for quarters in (7 * DAY - 1, 7 * DAY):
        later = replace(job_of(runtime), state=runtime.state_at(at(quarters)))
        (pv,) = (
            forecast
            for forecast in json.loads(handler.handle(later, lambda part: None).forecasts)
            if forecast["series"] == "pv1.available_kw"
        )
        methods.append(pv["method"])
    assert "too old" not in methods[0]
    assert "(model too old: fitted 2026-08-25, served for 7 days)" in methods[1]
