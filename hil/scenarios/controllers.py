"""The engine as the controller of a scenario, and controllers that are bad on purpose: each scenario must catch some.

A scenario that no bad controller fails proves nothing. Each of these has one fault that is known from the field; where
it needs an engine, it is the engine with this one fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from types import TracebackType

import numpy as np
import pandas as pd

from hil.scenarios.engine import Doctor, EngineInProcess, InProcessPlanning, View
from hil.scenarios.loading import Setting
from optimizer.devices import AnyDevice
from optimizer.plan import SETPOINT_LIFE_STEPS, Text
from optimizer.situation import Situation
from streams.decision import sequence_of
from streams.messages import Message, OperatorCommand, Reading, SetpointMessage, Tick
from streams.site_state import SiteState

WHY = Text(zh="故意设计的错误控制器", en="a controller that is bad on purpose")


class Controller:
    """The engine. Bad controllers change one thing of it."""

    local_loop = True
    """Whether the gateway keeps the limits between two setpoints."""
    watches_meter = True
    """Whether the local loop finds out that the grid meter stands still."""
    view: View | None = None
    doctor: Doctor | None = None

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._open = ExitStack()

    def __enter__(self) -> Controller:
        planning = InProcessPlanning(self._setting, self.view, self.doctor)
        self._engine = self._open.enter_context(EngineInProcess(self._setting, planning))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        """Takes in what the site reports; the setpoints it sends for that."""
        return self._engine.hear(messages)

    def order(self, command: OperatorCommand) -> None:
        """An operator orders."""
        self._engine.order(command)

    def be_late(self, late: bool) -> None:
        """Whether planning overruns its deadline from now on."""
        self._engine.be_late(late)

    def sent_again(self, message: SetpointMessage) -> SetpointMessage:
        """A setpoint as it is sent a second time."""
        return message


class _WithoutEngine(Controller):
    """Answers every tick by itself."""

    def __enter__(self) -> Controller:
        return self

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        ticks = [message for message in messages if isinstance(message, Tick)]
        return [self._setpoint(one, device) for one in ticks for device in self._controlled()]

    def order(self, command: OperatorCommand) -> None:
        """Is not obeyed."""

    def be_late(self, late: bool) -> None:
        """Plans nothing."""

    def target_kw(self, device: AnyDevice) -> float:
        raise NotImplementedError

    def _controlled(self) -> list[AnyDevice]:
        return [device for device in self._setting.site.devices if device.target_kw({}) is not None]

    def _setpoint(self, at: Tick, device: AnyDevice) -> SetpointMessage:
        site, target_kw = self._setting.site, self.target_kw(device)
        return SetpointMessage(
            site=site.id,
            cmd_id=f"{site.id}:{device.id}:{at.time:%Y%m%dT%H%MZ}:bad",
            device=device.id,
            seq=sequence_of(at.time),
            issued_at=at.time,
            valid_from=at.time,
            valid_until=at.time + SETPOINT_LIFE_STEPS * timedelta(minutes=site.step_minutes),
            target_kw=target_kw,
            safe_value_kw=device.safe_kw(),
            room_kw=(target_kw, target_kw),
            answer="rules",
            reason=WHY,
            plan_id="bad",
            plan_hash="bad",
            forecast_id="bad",
        )


class Silent(_WithoutEngine):
    """Sends nothing: the site lives on its safe values."""

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        return []


class Idle(_WithoutEngine):
    """Tells every device to do nothing, and lets the sun in."""

    def target_kw(self, device: AnyDevice) -> float:
        return device.bounds_kw()[1] if device.kind == "pv" else 0.0


class IgnoresLimits(_WithoutEngine):
    """Fills all stores and cars at full power, whatever the grid is said to give."""

    def target_kw(self, device: AnyDevice) -> float:
        least, greatest = device.bounds_kw()
        return 0.0 if device.kind == "flexible_load" else greatest if device.kind in ("pv", "chiller") else least


class ExportsAtWill(_WithoutEngine):
    """Empties all stores and cars at full power."""

    def target_kw(self, device: AnyDevice) -> float:
        return 0.0 if device.kind == "flexible_load" else device.bounds_kw()[1]


class KeepsOld(Controller):
    """Sends its first answer again in every interval."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._first: dict[str, SetpointMessage] = {}

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        told = super().hear(messages)
        for message in told:
            self._first.setdefault(message.device, message)
        return [self._as_before(message) for message in told]

    def _as_before(self, message: SetpointMessage) -> SetpointMessage:
        first = self._first[message.device]
        kept = {name: getattr(first, name) for name in ("target_kw", "grid_limit_kw")}
        return message.model_copy(update={**kept, "room_kw": None, "self_supply_kw": None})


class Blind(Controller):
    """Leaves devices at their setpoints, whatever happens between two of them."""

    local_loop = False


class Trusting(Controller):
    """Goes on by a grid meter that stands still."""

    watches_meter = False


class NeverExpires(Controller):
    """Sends setpoints that hold for a day."""

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        day = timedelta(days=1)
        return [one.model_copy(update={"valid_until": one.valid_from + day}) for one in super().hear(messages)]


class WaitsForThePlan(Controller):
    """Has no answer but an optimal plan: where planning is late, it says nothing."""

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        return [one for one in super().hear(messages) if one.answer in ("optimal", "feasible")]


class NumbersAnew(Controller):
    """Numbers every message as it is sent, so that an old one sent again counts as the newest."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._count = 0

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        return [self._numbered(one) for one in super().hear(messages)]

    def sent_again(self, message: SetpointMessage) -> SetpointMessage:
        return self._numbered(message)

    def _numbered(self, message: SetpointMessage) -> SetpointMessage:
        self._count += 1
        return message.model_copy(update={"seq": self._count, "cmd_id": f"{message.cmd_id}:{self._count}"})


class OwnClock(Controller):
    """Stamps its setpoints by its own clock, which is right, and not by the site's, by which they are followed."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._now = setting.start

    def hear(self, messages: Iterable[Message]) -> list[SetpointMessage]:
        heard = list(messages)
        ends = [one.time + timedelta(seconds=one.seconds) for one in heard if isinstance(one, Reading)]
        self._now = max([self._now, *ends])
        return [self._stamped(one) for one in super().hear(heard)]

    def _stamped(self, message: SetpointMessage) -> SetpointMessage:
        life = message.valid_until - message.valid_from
        return message.model_copy(update={"valid_from": self._now, "valid_until": self._now + life})


def _without_reports(state: SiteState) -> SiteState:
    told = {
        device: {name: value for name, value in values.items() if not name.endswith("_limit_kw")}
        for device, values in state.devices.items()
    }
    return replace(state, devices=told, orders=())


class Unaware(Controller):
    """Does not listen to what devices report that they can do, nor to orders."""

    view = staticmethod(_without_reports)


def _last_reading_holds(situation: Situation, recent: pd.DataFrame) -> Situation:
    held = {
        name: np.full(len(values), float(recent[name].dropna().iloc[-1]))
        for name, values in situation.series.items()
        if name in recent and name.endswith(".demand_kw") and recent[name].notna().any()
    }
    return replace(situation, series={**situation.series, **held})


class BelievesAll(Controller):
    """Takes the last reading of a load for what is to come, whatever it is."""

    doctor = staticmethod(_last_reading_holds)


Maker = Callable[[Setting], Controller]
ENGINE = "engine"
BAD: Mapping[str, Maker] = {
    "silent": Silent,
    "idle": Idle,
    "ignores_limits": IgnoresLimits,
    "exports_at_will": ExportsAtWill,
    "keeps_old": KeepsOld,
    "blind": Blind,
    "trusting": Trusting,
    "never_expires": NeverExpires,
    "waits_for_the_plan": WaitsForThePlan,
    "numbers_anew": NumbersAnew,
    "own_clock": OwnClock,
    "unaware": Unaware,
    "believes_all": BelievesAll,
}
CONTROLLERS: Mapping[str, Maker] = {ENGINE: Controller, **BAD}
