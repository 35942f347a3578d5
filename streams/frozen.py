"""Situations and plans as JSON and back, so that a cycle in the ledger can be made again from its inputs."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

import numpy as np

from optimizer.events import DemandResponseEvent, Event, ReserveOffer
from optimizer.plan import FlowSeries, GivenWay, HeldReserve, Plan, PlanDocument, ScenarioOutcome, Setpoint
from optimizer.situation import DemandLine, FixedPower, ImportCap, Prices, Session, Situation, Uncertainty
from optimizer.time_grid import TimeGrid


def freeze_situation(situation: Situation) -> str:
    """JSON that holds everything the plan depends on, exact to the last bit."""
    grid, prices = situation.grid, situation.prices
    document = {
        "site": situation.site,
        "issued_at": situation.issued_at.isoformat(),
        "grid": {
            "start": grid.start.isoformat(),
            "step_minutes": grid.step_minutes,
            "near": grid.near,
            "tail_hours": list(grid.tail_hours),
        },
        "state": {device: dict(state) for device, state in situation.state.items()},
        "series": {name: values.tolist() for name, values in situation.series.items()},
        "prices": {
            **{field.name: _plain(getattr(prices, field.name)) for field in fields(Prices)},
            "demand": [{name: _plain(value) for name, value in vars(line).items()} for line in prices.demand],
        },
        "sessions": {charger: [_session(one) for one in some] for charger, some in situation.sessions.items()},
        "events": [_event(one) for one in situation.events],
        "local_day": list(situation.local_day),
    }
    if situation.orders:
        document["orders"] = [_order(one) for one in situation.orders]
    if situation.uncertainty is not None:
        document["uncertainty"] = _uncertainty(situation.uncertainty)
    return json.dumps(document, sort_keys=True, allow_nan=False)


def thaw_situation(text: str) -> Situation:
    """The inverse of `freeze_situation`."""
    document: dict[str, Any] = json.loads(text)
    prices = document["prices"]
    return Situation(
        site=document["site"],
        issued_at=datetime.fromisoformat(document["issued_at"]),
        grid=_grid(document["grid"]),
        state=document["state"],
        series={name: np.asarray(values, dtype=float) for name, values in document["series"].items()},
        prices=Prices(
            import_per_kwh=np.asarray(prices["import_per_kwh"], dtype=float),
            export_per_kwh=np.asarray(prices["export_per_kwh"], dtype=float),
            band=tuple(prices["band"]),
            demand=tuple(_demand_line(line) for line in prices["demand"]),
            billing_period=tuple(prices["billing_period"]),
            carbon_kg_per_kwh=np.asarray(prices["carbon_kg_per_kwh"], dtype=float),
            next_period_whole=prices.get("next_period_whole", False),
            bill_days_left=prices.get("bill_days_left"),
        ),
        sessions={
            charger: tuple(
                Session(
                    **{
                        **one,
                        "arrive": datetime.fromisoformat(one["arrive"]),
                        "depart": datetime.fromisoformat(one["depart"]),
                    }
                )
                for one in some
            )
            for charger, some in document["sessions"].items()
        },
        events=tuple(_thawed_event(one) for one in document.get("events", ())),
        local_day=tuple(document.get("local_day", ())),
        uncertainty=_thawed_uncertainty(document.get("uncertainty")),
        orders=tuple(_thawed_order(one) for one in document.get("orders", ())),
    )


def thaw_plan(text: str, grid: TimeGrid) -> Plan:
    """The plan of a document, on the grid of the situation it was made for."""
    document = PlanDocument.model_validate_json(text)
    told = document.scenarios
    cost = {term: value for term, value in document.cost.items() if term != "total"}
    return Plan(
        site=document.site,
        issued_at=document.issued_at,
        grid=grid,
        status=document.status,
        flows=tuple(
            FlowSeries(flow.device, flow.carrier, flow.direction, flow.quantity, np.asarray(flow.kw, dtype=float))
            for flow in document.flows
        ),
        states={
            device: {name: np.asarray(values, dtype=float) for name, values in states.items()}
            for device, states in document.states.items()
        },
        import_per_kwh=np.asarray(document.prices["import_per_kwh"], dtype=float),
        export_per_kwh=np.asarray(document.prices["export_per_kwh"], dtype=float),
        cost=cost,
        setpoints=tuple(
            Setpoint(
                s.device,
                s.target_kw,
                s.safe_value_kw,
                s.valid_from,
                s.valid_until,
                s.reason,
                s.room_kw,
                s.self_supply_kw,
            )
            for s in document.setpoints
        ),
        shadow_prices={carrier: np.asarray(v, dtype=float) for carrier, v in document.shadow_prices.items()},
        limits_given_way=tuple(
            GivenWay(g.device, g.limit, g.amount, g.unit, g.first) for g in document.limits_given_way
        ),
        grid_limit_kw=document.grid_limit_kw,
        gap=document.gap,
        solves=document.solves,
        time_ms=document.time_ms,
        scenarios=None if told is None else ScenarioOutcome(tuple(told.costs), told.risk_weight, told.risk_level),
        note=document.note,
        held=tuple(HeldReserve(h.service, h.device, h.way, np.asarray(h.kw, dtype=float)) for h in document.held),
    )


def _grid(document: dict[str, Any]) -> TimeGrid:
    return TimeGrid(
        start=datetime.fromisoformat(document["start"]),
        step_minutes=document["step_minutes"],
        near=document["near"],
        tail_hours=tuple(document["tail_hours"]),
    )


def _demand_line(line: dict[str, Any]) -> DemandLine:
    block = None if line["block"] is None else tuple(line["block"])
    return DemandLine(**{**line, "inside": np.asarray(line["inside"], dtype=float), "block": block})


_EVENTS: dict[str, type[Event]] = {"demand_response": DemandResponseEvent, "reserve": ReserveOffer}


def _event(event: Event) -> dict[str, Any]:
    kind = next(name for name, kept in _EVENTS.items() if isinstance(event, kept))
    times = {"start": event.start.isoformat(), "end": event.end.isoformat()}
    return {"kind": kind, **asdict(event), **times}


def _thawed_event(document: dict[str, Any]) -> Event:
    fields_of = {name: value for name, value in document.items() if name != "kind"}
    times = {name: datetime.fromisoformat(document[name]) for name in ("start", "end")}
    if "baseline_kw" in fields_of:
        fields_of["baseline_kw"] = tuple(fields_of["baseline_kw"])
    return _EVENTS[document["kind"]](**{**fields_of, **times})


def _order(order: FixedPower | ImportCap) -> dict[str, Any]:
    return {**asdict(order), "until": order.until.isoformat()}


def _thawed_order(document: dict[str, Any]) -> FixedPower | ImportCap:
    fields_of = {**document, "until": datetime.fromisoformat(document["until"])}
    return FixedPower(**fields_of) if "device" in fields_of else ImportCap(**fields_of)


def _session(session: Session) -> dict[str, Any]:
    return {**asdict(session), "arrive": session.arrive.isoformat(), "depart": session.depart.isoformat()}


def _uncertainty(uncertainty: Uncertainty) -> dict[str, Any]:
    paths = [{name: values.tolist() for name, values in path.items()} for path in uncertainty.paths]
    return {"paths": paths, "risk_weight": uncertainty.risk_weight, "risk_level": uncertainty.risk_level}


def _thawed_uncertainty(document: dict[str, Any] | None) -> Uncertainty | None:
    if document is None:
        return None
    paths = [{name: np.asarray(values, dtype=float) for name, values in path.items()} for path in document["paths"]]
    return Uncertainty(tuple(paths), document["risk_weight"], document["risk_level"])


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
