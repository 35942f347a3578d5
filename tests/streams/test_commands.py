"""Orders of operators: which one holds, what is said to them, and that they survive in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from optimizer.plan import Plan, Setpoint, Text
from optimizer.situation import FixedPower, ImportCap
from site_configs.site import Site
from streams.commands import CommandDesk, judge, orders_at
from streams.dead_letters import DeadLetterDesk
from streams.ledger import Ledger
from streams.messages import BadMessageError, CommandAnswer, OperatorCommand, decode
from streams.topics import COMMAND_ANSWERS, DEAD_LETTERS
from tests.streams.story import at, light_park

PARK = light_park()


def command(kind: str, device: str | None = None, quarters: float = 0, lasts: float | None = 4, **more: Any) -> Any:
    until = None if lasts is None else at(quarters + lasts)
    given = {
        "site": "light_park", "command_id": f"{kind}-{device}-{quarters}", "kind": kind, "device": device,
        "issued_at": at(quarters), "until": until, "who": "Li", "why": "test",
    }  # fmt: skip
    return OperatorCommand.model_validate(given | more)


def told(*commands: OperatorCommand) -> list[tuple[OperatorCommand, CommandAnswer]]:
    """The commands with what is said to each after those before it."""
    taken: list[tuple[OperatorCommand, CommandAnswer]] = []
    for one in commands:
        taken.append((one, judge(PARK, one, taken)))
    return taken


def plan(**targets: float) -> Plan:
    text = Text(zh="", en="")
    setpoints = tuple(Setpoint(device, kw, 0.0, at(0), at(1), text) for device, kw in targets.items())
    return Plan("light_park", at(0), None, "optimal", (), {}, None, None, {}, setpoints)  # type: ignore[arg-type]


def orders(when: datetime, *commands: OperatorCommand, last: Plan | None = None) -> dict[str, Any]:
    found = orders_at(PARK, told(*commands), when, last)
    return {order.device if isinstance(order, FixedPower) else "import": order.power_kw for order in found}


def test_an_order_holds_until_its_end_and_ends_by_itself() -> None:
    one = command("override", "battery1", power_kw=-100.0)
    assert orders(at(0), one) == {"battery1": -100.0}
    assert orders(at(4) - timedelta(seconds=1), one) == {"battery1": -100.0}
    assert orders(at(4), one) == {}


def test_each_kind_says_what_is_given() -> None:
    assert orders(at(1), command("disable", "pv1")) == {"pv1": 0.0}
    assert orders(at(1), command("limit", power_kw=600.0)) == {"import": 600.0}
    assert orders(at(1), command("hold", "battery1"), last=plan(battery1=70.0)) == {"battery1": 70.0}
    held = orders(at(1), command("hold"), last=plan(battery1=70.0, pv1=500.0, ev01=-7.0))
    assert held == {"battery1": 70.0, "pv1": 500.0, "ev01": -7.0}
    (cap,) = orders_at(PARK, told(command("limit", power_kw=600.0)), at(1), None)
    assert isinstance(cap, ImportCap)
    assert cap.reason == "limit 600 kW by Li, until 2026-08-25T17:00Z: test"


def test_of_contradictory_orders_the_newer_holds_and_it_is_said() -> None:
    long, short = command("override", "battery1", lasts=8, power_kw=-100.0), command("disable", "battery1", 1, lasts=1)
    assert orders(at(1), long, short) == {"battery1": 0.0}
    assert orders(at(3), long, short) == {}  # the older one does not come back
    answer = told(long, short)[1][1]
    assert answer.replaces == (long.command_id,)
    assert answer.reason == "replaces override by Li (test): the newer holds"
    assert told(long, command("disable", "pv1", 1))[1][1].replaces == ()


def test_a_hold_of_the_site_gives_way_to_a_newer_order_for_one_device() -> None:
    both = command("hold"), command("override", "battery1", 1, power_kw=5.0)
    assert orders(at(2), *both, last=plan(battery1=70.0, pv1=500.0, ev01=0.0)) == {
        "battery1": 5.0,
        "pv1": 500.0,
        "ev01": 0.0,
    }


@pytest.mark.parametrize(
    ("released", "left"), [("battery1", {"import": 500.0}), ("import", {"battery1": 9.0}), (None, {})]
)
def test_a_release_ends_what_it_names(released: str | None, left: dict[str, float]) -> None:
    before = command("override", "battery1", power_kw=9.0), command("limit", power_kw=500.0)
    assert orders(at(2), *before, command("release", released, 1, lasts=None)) == left


def test_strangers_are_refused_and_change_nothing() -> None:
    wrong = command("disable", "load")
    assert told(wrong)[0][1].state == "refused"
    assert "battery1" in told(wrong)[0][1].reason
    assert orders(at(1), wrong) == {}
    assert judge(None, wrong, ()).reason == "unknown site light_park"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"kind": "override", "device": "pv1"}, "override needs power_kw"),
        ({"kind": "disable"}, "disable needs a device"),
        ({"kind": "limit", "power_kw": -1.0}, "must not be below 0"),
        ({"kind": "hold", "until": None}, "hold needs until"),
        ({"kind": "hold", "until": at(-1)}, "is not after issued_at"),
    ],
)
def test_half_an_order_is_a_bad_message(more: dict[str, Any], message: str) -> None:
    document = command("hold").model_copy(update=more)
    with pytest.raises(BadMessageError, match=message):
        decode(b"light_park", document.encode())


class Desk:
    """A desk on partition 0 with what it sent."""

    def __init__(self, path: Path, sites: dict[str, Site]) -> None:
        self.ledger, self.sent = Ledger(path), list[tuple[str, bytes]]()
        self.dead_letters = DeadLetterDesk(self.ledger, self._send)
        self.desk = CommandDesk(sites, self.ledger, self.dead_letters, self._send)
        self.desk.assign(0)

    async def _send(self, topic: str, key: bytes, value: bytes) -> None:
        self.sent.append((topic, value))

    def take(self, offset: int, message: OperatorCommand | bytes) -> None:
        raw = message if isinstance(message, bytes) else message.encode()
        self.desk.ingest(0, offset, b"light_park", raw)

    def settle(self) -> list[CommandAnswer]:
        asyncio.run(self.desk.work_off())
        asyncio.run(self.dead_letters.work_off())
        return [CommandAnswer.model_validate_json(value) for topic, value in self.sent if topic == COMMAND_ANSWERS.name]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "ledger.db", {"light_park": PARK})
    yield made
    made.ledger.close()


def test_orders_are_kept_answered_and_only_then_committed(desk: Desk) -> None:
    one = command("disable", "pv1")
    desk.take(0, one)
    assert desk.desk.safe_offsets() == {0: 0}
    assert [kept for kept, _ in desk.ledger.commands("light_park")] == [one]
    assert [answer.state for answer in desk.settle()] == ["taken"]
    assert desk.desk.safe_offsets() == {0: 1}


def test_the_same_order_again_gets_the_same_answer_and_is_kept_once(desk: Desk) -> None:
    first, second = command("disable", "pv1"), command("override", "pv1", 1, power_kw=50.0)
    for offset, one in enumerate((first, second, second)):
        desk.take(offset, one)
    answers = desk.settle()
    assert answers[1] == answers[2]
    assert answers[1].replaces == (first.command_id,)
    assert len(desk.ledger.commands("light_park")) == 2


def test_what_is_no_order_goes_to_the_dead_letters(desk: Desk) -> None:
    desk.take(0, b"{}")
    desk.take(1, b'{"version": "2.0", "type": "command", "site": "light_park"}')
    assert desk.settle() == []
    assert [topic for topic, _ in desk.sent] == [DEAD_LETTERS.name] * 2
    assert desk.desk.safe_offsets() == {0: 2}
