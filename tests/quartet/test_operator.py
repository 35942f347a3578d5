"""`quartet operator`: an order goes through the broker into the plan, the setpoint, the ledger, and is answered."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.broker import EmbeddedBroker
from streams.ledger import Ledger
from streams.messages import SetpointMessage
from streams.topics import SETPOINTS, TELEMETRY
from tests.streams.engine_process import Post, all_of
from tests.streams.light_engine import PARK
from tests.streams.story import at, quarter

PROJECT = Path(__file__).parents[2]
WHO = ("--who", "Li Wei", "--why", "works on the feeder")


@dataclass(frozen=True)
class Running:
    """A broker, an engine of the light park, and its site file."""

    broker: str
    ledger: Path
    site: Path

    def answer(self, number: int) -> dict[str, SetpointMessage]:
        """Sends a quarter hour and waits for the setpoints of the next, by device."""
        Post(self.broker).send(TELEMETRY.name, list(quarter(number)))
        end = time.monotonic() + 90
        while time.monotonic() < end:
            sent = [SetpointMessage.model_validate_json(value) for _, value in all_of(self.broker, SETPOINTS.name)]
            found = {setpoint.device: setpoint for setpoint in sent if setpoint.valid_from == at(number + 1)}
            if len(found) == 3:
                return found
            time.sleep(0.2)
        raise AssertionError(f"no setpoints for {at(number + 1)}")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    site = tmp_path / "light_park.yaml"
    site.write_text(yaml.safe_dump(PARK.model_dump(mode="json", by_alias=True), allow_unicode=True))
    with EmbeddedBroker() as broker:
        command = [sys.executable, "-m", "tests.streams.light_engine", broker, str(tmp_path / "ledger.db")]
        with (tmp_path / "engine.log").open("wb") as log:
            engine = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        try:
            yield Running(broker, tmp_path / "ledger.db", site)
        finally:
            engine.terminate()
            engine.wait(30)


@pytest.mark.e2e
def test_orders_reach_the_plan_are_answered_and_kept(quartet: Any, running: Running) -> None:
    def order(*arguments: str, ends: int = 0) -> Any:
        ran = quartet("operator", *arguments, "--broker", running.broker, *WHO, "--wait", "60", "--json")
        assert ran.code == ends, ran.err
        return ran.json

    site, until = str(running.site), ("--until", "2100-01-01T00:00Z")
    running.answer(0)
    taken = order("override", site, "battery1", "-120.5", *until)
    assert taken["answer"]["state"] == "taken"
    assert order("limit", site, "450", *until)["answer"]["state"] == "taken"
    told = running.answer(1)
    assert told["battery1"].target_kw == -120.5
    assert "override -120.5 kW by Li Wei" in told["battery1"].reason.en
    assert "works on the feeder" in told["battery1"].reason.zh
    assert {setpoint.grid_limit_kw for setpoint in told.values()} == {450.0}
    newer = order("disable", site, "battery1", *until)
    assert newer["answer"]["replaces"] == [taken["command"]["command_id"]]
    assert order("disable", site, "load", *until, ends=1)["answer"]["state"] == "refused"
    assert running.answer(2)["battery1"].target_kw == 0.0
    order("release", site)
    freed = running.answer(3)
    assert "operator" not in freed["battery1"].reason.en
    assert freed["battery1"].room_kw is not None
    with Ledger(running.ledger) as ledger:
        kept = ledger.commands("light_park")
    assert [command.kind for command, _ in kept] == ["override", "limit", "disable", "disable", "release"]
    assert {command.who for command, _ in kept} == {"Li Wei"}


def test_without_an_engine_the_order_stands_and_that_is_said(quartet: Any) -> None:
    with EmbeddedBroker() as broker:
        ran = quartet("operator", "hold", "jiashan_park", "--for", "2h", "--broker", broker, *WHO, "--wait", "0.3")
    assert ran.code == 1
    assert "no engine has answered" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hold",), "--until / --for"),
        (("hold", "--for", "2h", "--until", "2026-08-26T10:00"), "give one of them"),
        (("hold", "--for", "999999999999d"), "3660d at most"),
        (("hold", "--for", "soon"), "must be a length of time such as 15min"),
        (("limit", "-5", "--for", "2h"), "-5"),
        (("hold", "--until", "2020-01-01T00:00"), "--until: is over already: give a time after 20"),
    ],
)
def test_half_an_order_is_refused_before_it_is_sent(quartet: Any, arguments: tuple[str, ...], message: str) -> None:
    ran = quartet("operator", arguments[0], "jiashan_park", *arguments[1:], "--broker", "127.0.0.1:1", *WHO)
    assert ran.code == 2
    assert message in ran.err
