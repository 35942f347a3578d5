"""From a solved program to a plan: flows, states, cost table, shadow prices, limits that gave way, setpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from optimizer.choices import ZeroOrAtLeast
from optimizer.devices.base import Device
from optimizer.exact import Answer
from optimizer.model import Model
from optimizer.plan import GAVE_WAY_ABOVE, SETPOINT_LIFE_STEPS, FlowSeries, GivenWay, HeldReserve, Plan, Setpoint, Text
from optimizer.reasons import Reasons
from optimizer.services.accounts import accounts
from optimizer.services.base import Service
from optimizer.situation import Situation
from optimizer.solver import Status
from optimizer.time_grid import Array


@dataclass(frozen=True)
class Reading:
    """Turns a solved program into a plan."""

    devices: tuple[Device, ...]
    model: Model
    situation: Situation
    conditions: Mapping[str, Mapping[str, Array]]
    parameters: Array
    answer: Answer
    reasons: Reasons
    services: tuple[Service, ...] = ()

    def plan(self) -> Plan:
        plan = self._plan()
        found = accounts(self.services, self.situation, plan, self.devices)
        given_way = (*plan.limits_given_way, *(one for account in found.values() for one in account.given_way))
        return replace(plan, limits_given_way=given_way)

    def _plan(self) -> Plan:
        situation, near = self.situation, self.situation.grid.near
        flows = tuple(
            FlowSeries(f.device, f.carrier, f.direction, f.quantity, np.maximum(self._values(f.variable, near), 0.0))
            for f in self.model.flows
        )
        states = {device.id: found for device in self.devices if (found := self._states(device, flows))}
        shadow_prices = self._shadow_prices()
        return Plan(
            site=situation.site,
            issued_at=situation.issued_at,
            grid=situation.grid,
            status="optimal" if self.answer.solution.status is Status.OPTIMAL else "feasible",
            flows=flows,
            states=states,
            import_per_kwh=situation.prices.import_per_kwh[:near],
            export_per_kwh=situation.prices.export_per_kwh[:near],
            cost=self._cost_table(),
            setpoints=tuple(self._setpoints(flows)),
            shadow_prices=shadow_prices,
            limits_given_way=tuple(self._limits_given_way()),
            grid_limit_kw=self._grid_limit(),
            gap=self.answer.solution.gap,
            solves=self.answer.solves,
            held=tuple(self._held()),
        )

    def _held(self) -> Iterator[HeldReserve]:
        near = self.situation.grid.near
        for service, port in self.model.service_ports.items():
            for way, shares in (("up", port.held_up_kw), ("down", port.held_down_kw)):
                for device, share in shares.items():
                    yield HeldReserve(service, device, way, np.maximum(self._values(share, near), 0.0))

    def _states(self, device: Device, flows: tuple[FlowSeries, ...]) -> dict[str, Array]:
        """(near + 1,) values by name: variables as solved, the others as the physical step leaves them."""
        near, state = self.situation.grid.near, device.start(self.situation)
        planned = self.model.ports[device.id].states
        found = {name: self._values(variable, near + 1) for name, variable in planned.items()}
        derived = {name: np.full(near + 1, value) for name, value in state.items() if name not in planned}
        if not derived:
            return found
        own = {flow.quantity: flow.kw for flow in flows if flow.device == device.id}
        for t in range(near):
            asked = {quantity: float(kw[t]) for quantity, kw in own.items()}
            here = {name: float(values[t]) for name, values in self.conditions[device.id].items()}
            state = device.step(asked, state, here, self.situation.grid.step_hours).state
            for name in derived:
                derived[name][t + 1] = state[name]
        return found | derived

    def _values(self, variable: Any, count: int) -> Array:
        return self.answer.solution.x[self.model.compiled.columns_of(variable)[:count]]

    def _duals(self, rows: Any, count: int) -> Array:
        return self.answer.solution.row_dual[self.model.compiled.rows_of(rows)[:count]]

    def _shadow_prices(self) -> dict[str, Array]:
        near, hours = self.situation.grid.near, self.situation.grid.step_hours
        return {carrier: self._duals(rows, near) / hours for carrier, rows in self.model.balances.items()}

    def _cost_table(self) -> dict[str, float]:
        values = self.model.compiled.cost_values(self.parameters, self.answer.solution.x)
        names, place = self.model.terms
        return dict(zip(names, np.bincount(place, weights=values, minlength=len(names)).tolist(), strict=True))

    def _grid_limit(self) -> float | None:
        """The least planned peak of the demand lines that apply now: import below it costs no demand charge.

        Where a demand is the mean of several steps, the first step's own import may be above the peak.
        """
        applying = {f"peak_kw.{d.id}" for d in self.situation.prices.demand if d.price_per_kw > 0 and d.inside[0] > 0}
        peaks = [v for port in self.model.ports.values() for name, v in port.scalars.items() if name in applying]
        if not peaks:
            return None
        least = min(float(self.answer.solution.x[self.model.compiled.column(peak)]) for peak in peaks)
        imports = [flow.variable for flow in self.model.flows if flow.quantity == "import_kw"]
        return max(least, sum(float(self._values(variable, 1)[0]) for variable in imports))

    def _limits_given_way(self) -> list[GivenWay]:
        found = []
        times = self.situation.grid.near_times
        for device, port in self.model.ports.items():
            for slack in port.slacks:
                values = self._values(slack.variable, self.situation.grid.near)
                worst = int(np.argmax(values))
                if values[worst] > GAVE_WAY_ABOVE:
                    first = times[int(np.argmax(values > GAVE_WAY_ABOVE))]
                    found.append(GivenWay(device, slack.limit, float(values[worst]), slack.unit, first))
        return [*found, *self._cycling()] if self.answer.cycling else found

    def _cycling(self) -> list[GivenWay]:
        """Machines that run below their least part load in the steps where that was to be kept."""
        times, x = self.situation.grid.near_times, self.answer.solution.x
        broken = self.model.choices_at(self.parameters).broken(x)
        missing = {c.column: c.minimum - float(x[c.column]) for c in broken if isinstance(c, ZeroOrAtLeast)}
        found = []
        for device, port in self.model.ports.items():
            for part in port.semicontinuous:
                columns = self.model.compiled.columns_of(part.variable)[: len(times)].tolist()
                below = [t for t, column in enumerate(columns) if column in missing]
                if below:
                    worst = max(missing[columns[t]] for t in below)
                    found.append(GivenWay(device, "min_part_load", worst, "kW", times[below[0]]))
        return found

    def _setpoints(self, flows: tuple[FlowSeries, ...]) -> list[Setpoint]:
        grid = self.situation.grid
        until = grid.start + timedelta(minutes=grid.step_minutes * SETPOINT_LIFE_STEPS)
        found = []
        for device in self.devices:
            asked = {f.quantity: float(f.kw[0]) for f in flows if f.device == device.id}
            here = {name: float(values[0]) for name, values in self.conditions[device.id].items()}
            target = device.setpoint_kw(asked, here)
            if target is None:
                continue
            why = self._reason(device, asked, here)
            found.append(Setpoint(device.id, target, device.safe_kw(), grid.start, until, why))
        return found

    def _reason(self, device: Device, asked: Mapping[str, float], here: Mapping[str, float]) -> Text:
        idle = device.why_idle(here)
        if idle is not None:
            return Text(zh=idle[0], en=idle[1])
        held = device.why_held(device.start(self.situation), asked, self.situation.grid.step_hours)
        return self.reasons.of(device, here, None if held is None else Text(zh=held[0], en=held[1]))
