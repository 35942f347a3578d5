"""Orders of operators: taken in, kept in the ledger with their answer, and read by every cycle until they end.

An order acts at once on the setpoints of the running interval (`streams.revisions`), and on every plan from the next
one on. Per device, and for the site's import, the newest order holds: it replaces the one before for good, whichever is
the longer. An order ends by itself at its time, or by a release. What holds at a moment is a function of what the
ledger holds, so that a process can end at any time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from optimizer.plan import Plan
from optimizer.situation import FixedPower, ImportCap
from site_configs.site import Site
from streams.dead_letters import DeadLetterDesk, Send
from streams.desk import Desk
from streams.intake import PartitionIntake
from streams.messages import BadMessageError, CommandAnswer, OperatorCommand, SetpointMessage
from streams.offsets import OffsetBook
from streams.records import LedgerStore
from streams.revisions import is_first, revisions
from streams.topics import COMMAND_ANSWERS, COMMANDS, SETPOINTS

IMPORT = "import"
"""What a limit is for; a release may name it in place of a device."""

Answered = tuple[OperatorCommand, CommandAnswer]


def in_force(site: Site, commands: Iterable[Answered], at: datetime) -> dict[str, OperatorCommand]:
    """By device, and for the import: the order that holds at `at`."""
    newest: dict[str, OperatorCommand] = {}
    for command, answer in commands:
        if answer.state == "taken":
            for scope in _scopes(site, command):
                newest[scope] = command
    return {
        scope: command
        for scope, command in newest.items()
        if command.kind != "release" and command.until is not None and at < command.until
    }


def orders_at(
    site: Site, commands: Iterable[Answered], at: datetime, last_plan: Plan | None
) -> tuple[FixedPower | ImportCap, ...]:
    """What the plan of the interval at `at` takes as given; a device is held at its setpoint of the last plan."""
    held = {} if last_plan is None else {setpoint.device: setpoint.target_kw for setpoint in last_plan.setpoints}
    return orders_given(site, commands, at, held)


def orders_given(
    site: Site, commands: Iterable[Answered], at: datetime, held: Mapping[str, float]
) -> tuple[FixedPower | ImportCap, ...]:
    """What is ordered at `at`; `held` is the power [kW] at which a hold keeps each device."""
    orders: list[FixedPower | ImportCap] = []
    for scope, command in sorted(in_force(site, commands, at).items()):
        assert command.until is not None
        if command.kind == "limit":
            orders.append(ImportCap(command.power_kw or 0.0, command.until, _text(command)))
        else:
            power_kw = _power_kw(command, held.get(scope))
            orders.append(FixedPower(scope, power_kw, command.until, _text(command)))
    return tuple(orders)


def judge(site: Site | None, command: OperatorCommand, before: Sequence[Answered]) -> CommandAnswer:
    """Whether a command is taken, and what it replaces."""

    def say(state: str, reason: str = "", replaces: tuple[str, ...] = ()) -> CommandAnswer:
        return CommandAnswer.model_validate(
            {"site": command.site, "command_id": command.command_id, "state": state, "reason": reason}
            | {"replaces": replaces}
        )

    if site is None:
        return say("refused", f"unknown site {command.site}")
    known = (*_controlled(site), *((IMPORT,) if command.kind == "release" else ()))
    if command.device is not None and command.device not in known:
        return say("refused", f"{command.device} takes no setpoint at {site.id}: known are {', '.join(known)}")
    holding = in_force(site, before, command.issued_at)
    ended = {holding[scope].command_id: holding[scope] for scope in _scopes(site, command) if scope in holding}
    if not ended:
        return say("taken")
    named = ", ".join(f"{old.kind} by {old.who} ({old.why})" for old in ended.values())
    return say("taken", f"replaces {named}: the newer holds", tuple(ended))


class CommandDesk(PartitionIntake, Desk):
    """Takes in orders without waiting; `run` writes them down and answers."""

    topic = COMMANDS.name

    def __init__(
        self, sites: Mapping[str, Site], ledger: LedgerStore, dead_letters: DeadLetterDesk, send: Send
    ) -> None:
        PartitionIntake.__init__(self, dead_letters)
        Desk.__init__(self)
        self._sites, self._ledger, self._send = sites, ledger, send
        self._waiting: deque[tuple[OffsetBook, int, OperatorCommand, CommandAnswer]] = deque()

    @property
    def backlog(self) -> int:
        return len(self._waiting)

    def flush(self) -> None:
        """Nothing waits to be written: orders are in the ledger before the next message is looked at."""

    async def work_off(self) -> None:
        """Sends the answers that wait; an answer sent twice after a crash is the same one."""
        while self._waiting:
            book, offset, command, answer = self._waiting[0]
            if answer.state == "taken":
                await self._act(command)
            await self._send(COMMAND_ANSWERS.name, answer.key, answer.encode())
            book.release(offset)
            self._waiting.popleft()

    async def _act(self, command: OperatorCommand) -> None:
        """Tells the devices anew what the orders change in the interval that runs."""
        site, at = self._sites[command.site], command.issued_at.astimezone(UTC)
        interval = self._ledger.last_answered(site.id)
        stored = None if interval is None else self._ledger.answer(site.id, interval)
        if stored is None:
            return
        told = [SetpointMessage.model_validate_json(message) for message in stored.setpoints]
        orders = orders_given(site, self._ledger.commands(site.id), at, {one.device: one.target_kw for one in told})
        changed = revisions(site, told, orders, at)
        self._ledger.add_setpoints(changed)
        anew = [*(one for one in told if not is_first(one)), *changed]  # a repeat is dropped, a crash loses none
        await asyncio.gather(*(self._send(SETPOINTS.name, one.key, one.encode()) for one in anew))
        self._ledger.mark_setpoints_sent([one.cmd_id for one in anew])

    def _take(self, book: OffsetBook, offset: int, message: object) -> None:
        if not isinstance(message, OperatorCommand):
            raise BadMessageError(f"{type(message).__name__} on the topic of orders")
        answer = judge(self._sites.get(message.site), message, self._ledger.commands(message.site))
        answer = self._ledger.add_command(message, answer)
        book.hold(offset, offset)
        self._waiting.append((book, offset, message, answer))
        self._wake.set()


def _scopes(site: Site, command: OperatorCommand) -> tuple[str, ...]:
    """What a command decides about."""
    if command.kind == "limit":
        return (IMPORT,)
    if command.device is not None:
        return (command.device,)
    return (*_controlled(site), *((IMPORT,) if command.kind == "release" else ()))


def _controlled(site: Site) -> tuple[str, ...]:
    return tuple(device.id for device in site.devices if device.target_kw({}) is not None)


def _power_kw(command: OperatorCommand, held_kw: float | None) -> float:
    if command.kind == "override":
        return command.power_kw or 0.0
    return 0.0 if command.kind == "disable" or held_kw is None else held_kw


def _text(command: OperatorCommand) -> str:
    assert command.until is not None
    power = "" if command.power_kw is None else f" {command.power_kw:g} kW"
    return f"{command.kind}{power} by {command.who}, until {command.until:%Y-%m-%dT%H:%MZ}: {command.why}"
