"""The engine seen from outside: figures, health, and logs that name site and cycle."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from dataclasses import replace
from urllib.error import HTTPError

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from optimizer.errors import InputError, MissingPartError
from streams.logs import JsonLines, TextLines, in_cycle
from streams.observation import LATE_S, EngineCollector, Figures, Health, TopicFigures, observed
from tests.streams.conftest import free_port
from tests.streams.story import Story, at, quarter, reading, tick

FIGURES = Figures(
    topics={"quartet.telemetry.v1": TopicFigures(120, 3, {0: 0, 4: 17})},
    dead_letters=2,
    ages_s={("light_park", "battery1.energy_kwh"): 900.0},
    clocks={"light_park": at(0)},
    oldest_wait_s=0.25,
)


def samples(registry: CollectorRegistry) -> dict[str, float]:
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_figures_of_the_engine_as_metrics() -> None:
    registry = CollectorRegistry()
    registry.register(EngineCollector(lambda: FIGURES))
    found = samples(registry)
    assert found['quartet_messages_total{topic="quartet.telemetry.v1"}'] == 120
    assert found['quartet_lag_messages{partition="4",topic="quartet.telemetry.v1"}'] == 17
    assert found['quartet_signal_age_seconds{signal="battery1.energy_kwh",site="light_park"}'] == 900
    assert found['quartet_site_clock_seconds{site="light_park"}'] == at(0).timestamp()
    assert (found["quartet_dead_letters_total"], found["quartet_oldest_wait_seconds"]) == (2, 0.25)


def test_cycles_are_timed_by_part_and_counted_by_answer(tmp_path) -> None:
    async def run() -> None:
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), *quarter(0))
        await story.settle()
        found = samples(story.registry)
        assert found['quartet_answers_total{status="rules"}'] == 2
        for part in ("queue", "decide", "write", "send"):
            assert found[f'quartet_cycle_seconds_count{{part="{part}"}}'] == 2

    asyncio.run(run())


def test_the_engine_knows_its_clocks_ages_and_what_waits(tmp_path) -> None:
    async def run() -> None:
        story = Story(tmp_path / "l.db")
        story.tell(tick(0), *quarter(0), reading("load", 1, demand_kw=5), tick(2), tick(3))
        assert story.engine.oldest_wait_s > 0
        await story.settle()
        assert story.engine.oldest_wait_s == 0
        assert story.engine.clocks() == {"light_park": at(3)}
        ages = story.engine.ages_s()
        assert (ages["light_park", "meter.import_kw"], ages["light_park", "load.demand_kw"]) == (1800, 900)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("figures", "status"),
    [
        (FIGURES, "ok"),
        (replace(FIGURES, topics={"t": TopicFigures(0, 0, {})}), "starting"),
        (replace(FIGURES, oldest_wait_s=LATE_S + 1), "late"),
    ],
)
def test_health_in_one_word(figures: Figures, status: str) -> None:
    assert Health.of(figures).status == status


def test_metrics_and_health_over_http() -> None:
    place, told = f"127.0.0.1:{free_port()}", [FIGURES]
    registry = CollectorRegistry()
    with observed(place, registry, lambda: told[-1]):
        with urllib.request.urlopen(f"http://{place}/metrics") as answer:
            assert b"quartet_lag_messages" in answer.read()
        with urllib.request.urlopen(f"http://{place}/health") as answer:
            assert json.load(answer) == {"status": "ok", "partitions": 2, "sites": 1, "oldest_wait_s": 0.25}
        told.append(replace(FIGURES, oldest_wait_s=1e4))
        for path, code in (("health", 503), ("else", 404)):
            with pytest.raises(HTTPError) as error:
                urllib.request.urlopen(f"http://{place}/{path}")
            assert error.value.code == code
            error.value.close()
        with pytest.raises(MissingPartError, match="give another --observe"), observed(place, registry, told.pop):
            pass
    with observed(None, registry, told.pop):
        pass


def test_an_engine_that_hangs_is_unwell() -> None:
    place = f"127.0.0.1:{free_port()}"

    def hangs() -> Figures:
        raise TimeoutError

    with observed(place, CollectorRegistry(), hangs), pytest.raises(HTTPError) as error:
        urllib.request.urlopen(f"http://{place}/health")
    assert error.value.code == 503
    assert json.load(error.value)["status"] == "hangs"


def test_a_place_that_is_none() -> None:
    with pytest.raises(InputError, match="must be host:port"), observed("9108", CollectorRegistry(), lambda: FIGURES):
        pass


def record(message: str = "answered: %s", *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("streams.engine", logging.INFO, __file__, 1, message, arguments, None)


def test_log_lines_name_site_and_cycle() -> None:
    with in_cycle("light_park", at(1)):
        line = json.loads(JsonLines().format(record("answered: %s", "optimal")))
        text = TextLines().format(record("answered: %s", "optimal"))
    assert line["message"] == "answered: optimal"
    assert (line["site"], line["cycle"]) == ("light_park", "light_park:20260825T1615Z")
    assert text.endswith("INFO streams.engine: answered: optimal [light_park:20260825T1615Z]")
    assert "site" not in json.loads(JsonLines().format(record("plain")))


def test_all_that_is_said_in_a_cycle_names_it(tmp_path, caplog) -> None:
    async def run() -> None:
        story = Story(tmp_path / "l.db")
        logger = logging.getLogger("somewhere.else")
        lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda one: lines.append(JsonLines().format(one))  # type: ignore[method-assign]
        logger.addHandler(handler)
        story.planning.before = lambda: logger.warning("a plan is late")
        story.tell(tick(0))
        await story.settle()
        logger.removeHandler(handler)
        assert [json.loads(line)["cycle"] for line in lines] == ["light_park:20260825T1600Z"]

    asyncio.run(run())
