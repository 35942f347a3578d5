"""Tiny parks whose optimum is found by trying everything, without Pyomo and without the compiled model.

`battery`: a lossless battery that moves whole units of energy, between prices of any sign, with export dearer or
cheaper than import: dynamic programming over its levels. All data are whole units, so a best plan has whole units too.
`engine`: every on/off sequence of a gas engine with least times and start cost, beside a boiler; what is left of each
step is a linear program. `chillers`: every on/off choice of two chillers with least part loads beside a cold store;
what is left of each choice is a linear program over all steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby, pairwise, product

import numpy as np
from scipy.optimize import linprog

from optimizer.devices import AnyDevice
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.chp import Chp
from optimizer.devices.gas_boiler import GasBoiler
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.exact import solve_exactly
from optimizer.model import Exactness, build
from optimizer.situation import Prices, Situation
from optimizer.time_grid import Array, TimeGrid

GAP = 1e-9
START = datetime(2026, 8, 25, 16, tzinfo=UTC)
Rng = np.random.Generator


def relative_gap(seed: int) -> float:
    """The largest distance of the product's cost from the cost found by trying everything, relative."""
    rng = np.random.default_rng(seed)
    pairs = (battery(rng), engine(rng), chillers(rng))
    return max(abs(ours - best) / max(1.0, abs(best)) for ours, best in pairs)


def _least(
    devices: Sequence[AnyDevice],
    series: Mapping[str, Array],
    buy: Array,
    sell: Array,
    state: Mapping[str, Mapping[str, float]],
) -> float:
    """The product's cost for hourly steps without a demand charge, every condition exact."""
    steps = len(buy)
    situation = Situation(
        site="tiny",
        issued_at=START,
        grid=TimeGrid(START, 60, steps),
        state=state,
        series=series,
        prices=Prices(buy, sell, ("flat",) * steps, (), (0,) * steps, np.zeros(steps)),
    )
    model = build(devices, (), situation.shape, Exactness(steps, steps))
    inputs = {d.id: d.inputs(situation, d.conditions(situation)) for d in devices}
    answer = solve_exactly(model.compiled.program(model.compiled.parameters.values(inputs)), model.choices, 60.0, GAP)
    if not answer.solution.usable or answer.cycling:
        raise RuntimeError(f"no exact answer: {answer.solution.detail}")
    return answer.solution.objective


UNIT_KW = 10.0
LEVELS, POWER, WEAR = 8, 3, 0.05


def battery(rng: Rng, steps: int = 12) -> tuple[float, float]:
    """The product's cost, and the least over all paths of the battery's level in units."""
    load, sun = rng.integers(0, 8, steps) * UNIT_KW, rng.integers(0, 8, steps) * UNIT_KW
    buy = rng.choice([-0.2, 0.3, 0.7, 1.2], steps) + rng.normal(0, 0.01, steps)
    sell = np.full(steps, float(rng.choice([0.0, 0.4, 0.9])))
    stored_may_be_sold = bool(rng.random() < 0.5)
    start = int(rng.integers(0, LEVELS + 1))
    devices: tuple[AnyDevice, ...] = (
        GridConnection(
            id="grid",
            import_limit_kw=12 * UNIT_KW,
            export_limit_kw=4 * UNIT_KW,
            export_source="any" if stored_may_be_sold else "generation",
        ),
        Load(id="load", carrier="power"),
        Pv(id="pv1", capacity_kw=10 * UNIT_KW),
        Battery(
            id="battery1", capacity_kwh=LEVELS * UNIT_KW, charge_limit_kw=POWER * UNIT_KW,
            discharge_limit_kw=POWER * UNIT_KW, charge_efficiency=1.0, discharge_efficiency=1.0,
            standing_loss_per_hour=0.0, min_soc=0.0, max_soc=1.0, wear_cost_per_kwh=WEAR,
        ),
    )  # fmt: skip
    state = {"battery1": {"energy_kwh": start * UNIT_KW}}
    ours = _least(devices, {"load.demand_kw": load, "pv1.available_kw": sun}, buy, sell, state)
    after = -buy.min() * UNIT_KW * np.arange(LEVELS + 1)
    for t in reversed(range(steps)):
        after = np.array(
            [
                min(
                    after[level + up] + _step_cost(load[t], sun[t], buy[t], sell[t], up * UNIT_KW, stored_may_be_sold)
                    for up in range(-POWER, POWER + 1)
                    if 0 <= level + up <= LEVELS
                )
                for level in range(LEVELS + 1)
            ]
        )
    return ours, float(after[start])


def _step_cost(load: float, sun: float, buy: float, sell: float, charge_kw: float, stored_may_be_sold: bool) -> float:
    """The least cost of an hour with this charging: every whole use of the sun is tried, the grid does the rest."""
    costs = []
    for used in np.arange(0.0, sun + 1e-9, UNIT_KW):
        net = load + charge_kw - used
        most = 4 * UNIT_KW if stored_may_be_sold else min(4 * UNIT_KW, used)
        if -most <= net <= 12 * UNIT_KW:
            costs.append(max(net, 0.0) * buy - max(-net, 0.0) * sell)
    return min(costs, default=np.inf) + WEAR * max(0.0, -charge_kw)


def engine(rng: Rng, steps: int = 6) -> tuple[float, float]:
    """The product's cost, and the least over all on/off sequences of a gas engine that keep its least times."""
    up, down = int(rng.integers(0, 4)), int(rng.integers(0, 4))
    chp = Chp(
        id="chp1", power_limit_kw=100, min_load=0.5, min_up_hours=up, min_down_hours=down, heat_dump=True,
        start_cost=float(rng.choice([0.0, 10.0, 60.0])),
    )  # fmt: skip
    buy, sell = rng.uniform(0.2, 1.5, steps), np.full(steps, 0.15)
    load, heat = rng.uniform(40, 200, steps), rng.uniform(30, 180, steps)
    gas, efficiency = 0.32, 0.9
    was_on, hours = bool(rng.random() < 0.5), int(rng.integers(1, 4))
    state = {"power_kw": 60.0 * was_on, "on_hours": float(hours * was_on), "off_hours": float(hours * (not was_on))}
    devices: tuple[AnyDevice, ...] = (
        GridConnection(id="grid", import_limit_kw=500, export_limit_kw=200),
        Load(id="load", carrier="power"),
        Load(id="heat_load", carrier="heat"),
        chp,
        GasSupply(id="gas", supply_limit_kw=1000, price_per_nm3=gas * 10.0, heating_value_kwh_per_nm3=10.0),
        GasBoiler(id="boiler1", heat_limit_kw=300, efficiency=efficiency, min_part_load=0.0),
    )
    ours = _least(devices, {"load.demand_kw": load, "heat_load.demand_kw": heat}, buy, sell, {"chp1": state})
    running = [_engine_hour(chp, buy[t], sell[t], load[t], heat[t], gas, efficiency) for t in range(steps)]
    standing = [load[t] * buy[t] + gas * heat[t] / efficiency for t in range(steps)]
    best = min(
        sum(running[t] if on else standing[t] for t, on in enumerate(sequence))
        + chp.start_cost * sum(b and not a for a, b in pairwise((was_on, *sequence)))
        for sequence in product((False, True), repeat=steps)
        if _keeps_times((was_on,) * hours + sequence, up, down)
    )
    return ours, float(best)


def _keeps_times(sequence: tuple[bool, ...], up: int, down: int) -> bool:
    """Whether every run that ends is long enough; the last one goes on."""
    runs = [(on, len(list(run))) for on, run in groupby(sequence)]
    return all(length >= (up if on else down) for on, length in runs[:-1])


def _engine_hour(
    chp: Chp, buy: float, sell: float, load: float, heat: float, gas_price: float, efficiency: float
) -> float:
    """The least cost of an hour in which the engine runs.

    Columns: power, gas, heat used, boiler's heat, import, export; export is cheaper than import, so never both.
    """
    at_least, at_full = 50.0 / chp.electric_efficiency_at_min_load, 100.0 / chp.electric_efficiency
    slope = (at_full - at_least) / 50.0
    answer = linprog(
        [0.0, gas_price, 0.0, gas_price / efficiency, buy, -sell],
        A_eq=[[1, 0, 0, 0, 1, -1], [0, 0, 1, 1, 0, 0], [-slope, 1, 0, 0, 0, 0]],
        b_eq=[load, heat, at_least - 50.0 * slope],
        A_ub=[[0, -chp.thermal_efficiency, 1, 0, 0, 0], [-1, 0, 0, 0, 0, 1]],
        b_ub=[0.0, 0.0],
        bounds=[(50, 100), (0, None), (0, None), (0, 300), (0, 500), (0, 200)],
    )
    return float(answer.fun) if answer.success else np.inf


def chillers(rng: Rng, steps: int = 3) -> tuple[float, float]:
    """The product's cost, and the least over all on/off choices of two chillers with least part loads."""
    sizes, least = (100.0, 60.0), (float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.2, 0.6)))
    cops = (5.0, 4.0)
    buy, cold = rng.uniform(0.2, 1.5, steps), rng.uniform(15, 120, steps)
    devices: tuple[AnyDevice, ...] = (
        GridConnection(id="grid", import_limit_kw=500),
        Load(id="cold_load", carrier="cold"),
        *(
            Chiller(
                id=f"chiller{n}", cooling_limit_kw=sizes[n], min_part_load=least[n], auxiliary_share=0.0,
                cop_points=((0.0, cops[n]), (50.0, cops[n])),
            )
            for n in range(2)
        ),
        ThermalStore(
            id="store", carrier="cold", capacity_kwh=80, charge_limit_kw=40, discharge_limit_kw=40,
            charge_efficiency=0.9, discharge_efficiency=0.9, loss_per_hour=0.02, left_value_per_kwh=0.05,
        ),
    )  # fmt: skip
    state = {"store": {"energy_kwh": float(rng.uniform(0, 80))}}
    series = {"cold_load.demand_kw": cold, "weather.temperature_c": np.full(steps, 25.0)}
    ours = _least(devices, series, buy, np.zeros(steps), state)
    bands = [((0.0, 0.0), (share * size, size)) for size, share in zip(sizes, least, strict=True)]
    choices = product(product(*bands), repeat=steps)
    return ours, min(_cold_cost(choice, cops, buy, cold, state["store"]["energy_kwh"]) for choice in choices)


def _cold_cost(
    choice: tuple[tuple[tuple[float, float], ...], ...],
    cops: tuple[float, float],
    buy: Array,
    cold: Array,
    start: float,
) -> float:
    """The least cost with the chillers inside these bands; columns by step: two chillers, charge, discharge, short."""
    steps, keep = len(buy), 0.98
    worth = 0.05 * keep ** np.arange(steps - 1, -1, -1)
    cost = [
        value
        for t in range(steps)
        for value in (buy[t] / cops[0], buy[t] / cops[1], -0.9 * worth[t], worth[t] / 0.9, 1000.0)
    ]
    served, energy = np.zeros((steps, 5 * steps)), np.zeros((steps, 5 * steps))
    for t in range(steps):
        served[t, 5 * t : 5 * t + 5] = (1, 1, -1, 1, 1)
        for s in range(t + 1):
            energy[t, 5 * s + 2], energy[t, 5 * s + 3] = 0.9 * keep ** (t - s), -(keep ** (t - s)) / 0.9
    left = start * keep ** np.arange(1, steps + 1)
    answer = linprog(
        cost,
        A_eq=served,
        b_eq=cold,
        A_ub=np.vstack([energy, -energy]),
        b_ub=np.concatenate([80.0 - left, left]),
        bounds=[bound for bands in choice for bound in (*bands, (0, 40), (0, 40), (0, None))],
    )
    return float(answer.fun) - 0.05 * float(left[-1]) if answer.success else np.inf
