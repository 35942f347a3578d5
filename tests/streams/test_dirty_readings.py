"""Dirty readings come in: every interval still gets its plan, and what was wrong is named in plan, ledger and log."""

from __future__ import annotations

import asyncio
import json
import logging
import zlib

import numpy as np
import pandas as pd

from forecasting.provenance import code_version, library_versions
from streams.decision import Decision
from streams.planning import FitJob, FittingHandler, PlanningDesk, PlanningHandler
from streams.records import StoredForecast, StoredModel
from streams.site_runtime import SiteRuntime
from tests.streams.story import STEP, Story, at, light_park, reading, tick

DAY = 96


def past(days: int) -> pd.DataFrame:
    """Recorded quarter hours before the story, no two days alike."""
    rng = np.random.default_rng(5)
    index = pd.date_range(at(-days * DAY), at(-1), freq=STEP, name="time", unit="s")
    hour = np.arange(len(index)) % DAY / 4
    load = 400 + 100 * np.sin(hour / 24 * 6.28) + rng.normal(0, 4, len(index))
    sun = np.maximum(0, 200 - 30 * abs(hour - 12)) * rng.uniform(0.7, 1.0, len(index))
    return pd.DataFrame({"load.demand_kw": load, "pv1.available_kw": sun}, index=index)


class InThisProcess:
    """A pool whose one worker is here."""

    def __init__(self) -> None:
        self.handler = PlanningHandler()

    async def run(self, key, job, limit_s, attachment, on_part) -> Decision:
        if attachment is not None:
            self.handler.attach(attachment.key, attachment.content)
        return self.handler.handle(job, on_part)


class OneModel:
    """Fitted once, before the story."""

    def __init__(self, model: StoredModel) -> None:
        self._model = model

    async def model(self, runtime, at):
        return self._model

    def unfitted(self, site):
        return "none"


DIRT = [400_000.0, -300.0, 0.0, 1.0e-9, 402.5, 398.5]
"""Load in the quarter hours of the story: W for kW, wrong sign, nothing, next to nothing; then it is well again."""


def test_every_interval_is_answered_and_the_findings_are_named(tmp_path, caplog):
    history = past(12)
    model = FittingHandler().handle(FitJob(light_park(), history, at(0), ()), lambda part: None)

    async def run():
        desk = PlanningDesk(InThisProcess(), OneModel(model), 20.0)
        story = Story(tmp_path / "l.db", planning=desk)
        story.engine._restore = {"light_park": lambda: SiteRuntime.restore(light_park(), story.ledger, history)}
        story.tell(tick(0))
        for number, demand in enumerate(DIRT):
            story.tell(reading("load", number, 900, demand_kw=demand))
            story.tell(reading("pv1", number, 900, available_kw=0.0), tick(number + 1))
        await story.settle()
        return story

    with caplog.at_level(logging.WARNING, logger="streams.planning"):
        story = asyncio.run(run())
    assert story.answered == [at(number) for number in range(len(DIRT) + 1)]
    last = story.ledger.answer("light_park", at(len(DIRT)))
    assert last.status == "optimal"
    repairs = " ".join(json.loads(last.plan)["repairs"])
    assert "1 single values far above their neighbours, left out, first at 2026-08-25T16:00:00Z" in repairs
    assert "1 negative values, left out, first at 2026-08-25T16:15:00Z" in repairs
    assert "2 zeros where nothing was measured, left out, first at 2026-08-25T16:30:00Z" in repairs
    (issued,) = story.ledger.forecasts_between("light_park", at(len(DIRT)), at(len(DIRT) + 1))
    documents = {document["series"]: document for document in issued.documents}
    assert {f["kind"] for f in documents["load.demand_kw"]["findings"]} == {"spike", "negative", "dropout"}
    assert max(documents["load.demand_kw"]["quantiles"]["0.9"]) < 1000
    assert caplog.text.count("values far above their neighbours") == 1
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def worse_than_the_yardstick(history: pd.DataFrame) -> list[StoredForecast]:
    """A week of forecasts of the load, as the ledger holds them, whose model is 80 kW off and whose rival is right."""
    found = []
    for number in range(-7 * DAY, -DAY, 13):
        actual = history["load.demand_kw"].loc[at(number) : at(number + DAY - 1)]
        document = {
            "series": "load.demand_kw",
            "issued_at": at(number).isoformat(),
            "start": at(number).isoformat(),
            "quantiles": {"0.5": (actual + 80).tolist()},
            "rival": {"of": "yardstick", "method": "same-type-day mean", "median": (actual + 20).tolist()},
        }
        found.append(StoredForecast(f"f{number}", at(number), zlib.compress(json.dumps([document]).encode())))
    return found


def test_the_nightly_fit_judges_the_ledgers_own_forecasts():
    history = past(30)
    job = FitJob(light_park(), history, at(0), (), issued=tuple(worse_than_the_yardstick(history)))
    model = FittingHandler().handle(job, lambda part: None)
    replaced = json.loads(model.provenance)["replaced"]
    assert replaced == {"load.demand_kw": "mean error 80 against 20 in 45 forecasts of 7 days"}
    assert json.loads(model.provenance)["libraries"] == library_versions()
    assert json.loads(model.provenance)["code"] == code_version()
