"""What is announced on topics: kept, known to cycles that begin after it, taken into forecasts, events and limits."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from optimizer.events import DemandResponseEvent, ReserveOffer
from optimizer.services import DemandResponse, ReserveCapacity
from optimizer.situation import ImportCap
from site_configs.prices import EXPORT_PRICE, IMPORT_PRICE
from streams.interval import close_interval
from streams.ledger import Ledger
from streams.messages import (
    DemandResponseCall,
    GridLimit,
    Islanding,
    PriceAnnouncement,
    ReserveAward,
    WeatherForecast,
)
from streams.news_intake import NewsIntake
from streams.planning import prepare
from streams.site_news import announced_rows, holding
from streams.site_runtime import SiteRuntime
from streams.site_state import SiteState
from streams.topics import GRID_EVENTS, TARIFF, WEATHER
from tests.streams.story import EMPTY, Story, at, light_park, quarter, reading, tick
from tests.streams.test_published import NOON, recorded, trading_site

PARK = light_park().model_copy(
    update={
        "services": (
            DemandResponse(id="response", rule="zhejiang"),
            ReserveCapacity(id="reserve", devices=("battery1",)),
        )
    }
)


def prices(issued: float, *values: float, start: float = 4) -> PriceAnnouncement:
    return PriceAnnouncement(
        site="light_park", source="exchange", issued_at=at(issued), start=at(start), step_minutes=60,
        values={IMPORT_PRICE: values},
    )  # fmt: skip


def weather(issued: float, *values: float) -> WeatherForecast:
    return WeatherForecast(
        site="light_park", source="service", issued_at=at(issued), start=at(0), step_minutes=30,
        values={"weather.temperature_c": values},
    )  # fmt: skip


def call(issued: float = 0, first: float = 8, last: float = 16, **changed: object) -> DemandResponseCall:
    return DemandResponseCall.model_validate(
        {"site": "light_park", "event_id": "c1", "issued_at": at(issued), "start": at(first), "end": at(last)}
        | {"service": "response", "bid_kw": 100, "price_per_kwh": 3, "baseline_kw": [500, 600] * 4}
        | changed
    )


def limit(first: float, last: float, **changed: object) -> GridLimit:
    return GridLimit.model_validate(
        {"site": "light_park", "event_id": "l1", "issued_at": at(0), "start": at(first), "end": at(last)}
        | {"import_kw": 400, "why": "works"}
        | changed
    )


def test_rows_of_several_announcements_by_time_of_issue():
    rows = announced_rows([prices(2, 0.5, 0.6), weather(1, 20, 21, 22), prices(0, 0.4, 0.4)])
    assert list(rows.columns) == ["issued_at", "time", IMPORT_PRICE, "weather.temperature_c"]
    assert rows["issued_at"].is_monotonic_increasing
    last = rows[rows["issued_at"] == pd.Timestamp(at(2))]
    assert list(last["time"]) == [at(4), at(8)]
    assert list(last[IMPORT_PRICE]) == [0.5, 0.6]
    assert last["weather.temperature_c"].isna().all()


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (PriceAnnouncement, {}, "at least one"),
        (PriceAnnouncement, {IMPORT_PRICE: []}, "at least one"),
        (PriceAnnouncement, {IMPORT_PRICE: [1], EXPORT_PRICE: [1, 2]}, "equally many"),
        (PriceAnnouncement, {"weather.temperature_c": [1]}, "weather.temperature_c cannot be said"),
        (WeatherForecast, {IMPORT_PRICE: [1]}, "cannot be said"),
        (WeatherForecast, {"weather.temperature_c": [1] * 1500}, "further than 62 days"),
    ],
)
def test_announcements_that_cannot_be(kind, values, message):
    given = {"site": "light_park", "source": "s", "issued_at": at(0), "start": at(0), "step_minutes": 60}
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(given | {"values": values})


def test_prices_on_the_topic_reach_the_plan_when_they_are_out(tmp_path):
    """The same prices that `test_published` takes from a recording."""
    site, frame = trading_site(), recorded()
    tomorrow = NOON + timedelta(hours=11)
    told = frame[IMPORT_PRICE].loc[tomorrow:].to_numpy()
    message = PriceAnnouncement(
        site=site.id, source="exchange", issued_at=NOON, start=tomorrow, step_minutes=15,
        values={IMPORT_PRICE: tuple(told)},
    )  # fmt: skip
    forecasts = {}
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.add_announcements([message])
        runtime = SiteRuntime.restore(site, ledger, frame)
        for minutes in (0, 15):
            now = NOON + timedelta(minutes=minutes)
            state = SiteState(site.id, now, {"battery1": {"energy_kwh": 200.0}}, {"month_max": 160.0})
            prepared = prepare(site, state, runtime.recent(now), None, runtime.announced(now))
            forecasts[minutes] = prepared.forecasts[IMPORT_PRICE].median.loc[tomorrow:].to_numpy()[: len(told)]
    assert forecasts[15] == pytest.approx(told, abs=1e-3)
    assert np.abs(forecasts[0] - told).max() > 0.01


def test_the_last_word_on_an_event_holds():
    said = [call(0), limit(0, 4), call(1, bid_kw=70)]
    assert [(one.event_id, getattr(one, "bid_kw", None)) for one in holding(said, at(0))] == [
        ("c1", 70.0),
        ("l1", None),
    ]
    assert holding([*said, call(2, withdrawn=True)], at(0)) == [limit(0, 4)]
    assert holding(said, at(4)) == [call(1, bid_kw=70)]


def runtime_with(ledger: Ledger, *events) -> SiteRuntime:
    ledger.add_announcements(events)
    return SiteRuntime.restore(PARK, ledger, EMPTY)


def test_a_call_is_planned_with_what_was_responded_so_far(tmp_path):
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = runtime_with(ledger, call())
        for number, import_kw in ((8, 420.0), (9, 470.0)):
            metered = [reading("meter", number, 900, import_kw=import_kw)]
            runtime.absorb(close_interval(at(number), 15, metered))
        assert runtime.state_at(at(0)).events == ()  # issued at this moment: known from the next one on
        (before,) = runtime.state_at(at(1)).events
        (within,) = runtime.state_at(at(10)).events
        assert runtime.state_at(at(16)).events == ()
    assert isinstance(before, DemandResponseEvent)
    assert (before.service, before.bid_kw, before.responded_kwh) == ("response", 100.0, 0.0)
    assert within.responded_kwh == pytest.approx((500 - 420) / 4 + (600 - 470) / 4)


def test_an_award_is_planned(tmp_path):
    award = ReserveAward(
        site="light_park", event_id="a", issued_at=at(0), start=at(4), end=at(8), service="reserve",
        price_per_kw_h=0.5, up_kw=80,
    )  # fmt: skip
    with Ledger(tmp_path / "ledger.db") as ledger:
        (event,) = runtime_with(ledger, award).state_at(at(1)).events
    assert event == ReserveOffer("a", "reserve", at(4), at(8), 0.5, up_kw=80.0)


def test_limits_hold_in_the_intervals_that_they_touch(tmp_path):
    island = Islanding(site="light_park", event_id="i", issued_at=at(0), start=at(3), end=at(5), why="test")
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = runtime_with(ledger, limit(1.5, 3, export_kw=50), island)
        orders = {number: runtime.state_at(at(number)).orders for number in (0.5, 1, 2, 3, 5)}
    capped = ImportCap(400, at(3), "limit of the grid until 2026-08-25T16:45Z: works", 50)
    assert orders[0.5] == orders[5] == ()
    assert orders[1] == orders[2] == (capped,)
    assert [(cap.power_kw, cap.export_kw) for cap in orders[3]] == [(0.0, 0.0)]


def test_news_are_in_the_ledger_before_their_offset_is_committed(tmp_path):
    async def run():
        story = Story(tmp_path / "l.db", sites=(PARK,))
        intake = NewsIntake(GRID_EVENTS, {PARK.id: PARK}, story.ledger, story.dead_letters)
        intake.assign(0)
        wrong = [
            (call(service="reserve"), "has no demand_response service reserve: it has response"),
            (prices(0, 1), "PriceAnnouncement on the topic quartet.grid-events.v1"),
            (call(site="elsewhere"), "unknown site elsewhere"),
        ]
        for offset, message in enumerate([call(), limit(0, 4), *(message for message, _ in wrong)]):
            intake.ingest(0, offset, message.key, message.encode())
        assert intake.safe_offsets() == {0: 0}
        intake.flush()
        await story.settle()
        assert intake.safe_offsets() == {0: 5}
        assert story.ledger.announcements(PARK.id, DemandResponseCall, at(0), at(1)) == [call()]
        for letter, (_, reason) in zip(story.buried, wrong, strict=True):
            assert reason in letter.decode()

    asyncio.run(run())


def test_a_cycle_is_frozen_with_what_was_known(tmp_path):
    """News that come between two ticks count from the second on."""

    async def run():
        story = Story(tmp_path / "l.db", sites=(PARK,))
        intakes = [NewsIntake(topic, {PARK.id: PARK}, story.ledger, story.dead_letters) for topic in (WEATHER, TARIFF)]
        story.tell(tick(0))
        await story.settle()
        for intake, message in zip(intakes, (weather(0.5, 30), prices(0.5, 0.7)), strict=True):
            intake.assign(0)
            intake.ingest(0, 0, message.key, message.encode())
            intake.flush()
        story.tell(*quarter(0))
        await story.settle()
        runtime = story.engine._desks[PARK.id].runtime
        assert runtime.announced(at(0)) is None
        assert len(runtime.announced(at(1))) == 2

    asyncio.run(run())
