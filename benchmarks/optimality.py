"""Is the plan right? Against the full MILP on random parks, against tampering, and in closed loop over two weeks.

`worst_relative_gap` compares the objective of the linear-first scheme with the same model in which every either-or
condition is a binary from the start, both to a gap of 1e-8, over seeded random parks of all device kinds with nasty
prices (negative, export above import, lossless stores). `mutants` tampers with valid plans. The closed loops plan every
quarter hour for two weeks of recorded load and PV with a demand charge and execute the first step; the bound is one
optimisation over the two weeks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import numpy as np
from figures import Figure, main

from optimizer.balance import FeederLimit
from optimizer.devices import AnyDevice
from optimizer.devices.battery import Battery
from optimizer.devices.chiller import Chiller
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.heat_pump import HeatPump
from optimizer.devices.load import Load
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.exact import solve_exactly
from optimizer.model import Exactness, build
from optimizer.plan import Plan
from optimizer.planner import Planner
from optimizer.situation import DemandLine, Prices, Session, Situation
from optimizer.solver import solve
from optimizer.time_grid import Array, TimeGrid
from optimizer.verify import verify
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from site_configs.prices import prices_for
from site_configs.tariff import load_tariff

PARKS = 500
STEPS = 24
GAP = 1e-8
MUTANTS = 2000
START = datetime(2026, 8, 25, 16, tzinfo=UTC)


@dataclass(frozen=True)
class Park:
    """A random park at a random moment."""

    devices: tuple[AnyDevice, ...]
    feeders: tuple[FeederLimit, ...]
    situation: Situation


def random_park(seed: int) -> Park:
    """Between two and eight devices of every kind, sizes and prices drawn; the same seed gives the same park."""
    rng = np.random.default_rng(seed)
    devices: list[AnyDevice] = [
        GridConnection(
            id="grid",
            import_limit_kw=float(rng.uniform(400, 1500)),
            export_limit_kw=float(rng.choice([0.0, rng.uniform(50, 600)])),
            export_source=str(rng.choice(["generation", "any"])),  # type: ignore[arg-type]
        ),
        Load(id="load", carrier="power"),
        *_maybe(rng, 0.8, Pv(id="pv1", capacity_kw=float(rng.uniform(50, 500)), curtailable=bool(rng.random() < 0.8))),
        *(_battery(rng, number) for number in range(int(rng.integers(0, 3)))),
        *_cold(rng),
        *_heat(rng),
        *(_charger(rng, number) for number in range(int(rng.integers(0, 4)))),
    ]
    cars = [device.id for device in devices if device.kind == "v2g_charger"]
    feeders = (FeederLimit("cars", float(rng.uniform(15, 60)), tuple(cars)),) if cars else ()
    return Park(tuple(devices), feeders, _situation(rng, cars))


def demand_lines(steps: int, price_per_kw: float) -> tuple[DemandLine, ...]:
    """One charge on the demand of every hour."""
    return (DemandLine("demand", price_per_kw, price_per_kw, inside=np.ones(steps)),)


def _maybe(rng: np.random.Generator, share: float, *devices: AnyDevice) -> tuple[AnyDevice, ...]:
    return devices if rng.random() < share else ()


def _battery(rng: np.random.Generator, number: int) -> Battery:
    lossless = rng.random() < 0.25
    power = float(rng.uniform(30, 300))
    return Battery(
        id=f"battery{number}",
        capacity_kwh=float(rng.uniform(50, 800)),
        charge_limit_kw=power,
        discharge_limit_kw=power * float(rng.uniform(0.5, 1.0)),
        charge_efficiency=1.0 if lossless else float(rng.uniform(0.8, 0.98)),
        discharge_efficiency=1.0 if lossless else float(rng.uniform(0.8, 0.98)),
        wear_cost_per_kwh=0.0 if lossless else float(rng.uniform(0, 0.2)),
    )


def _cold(rng: np.random.Generator) -> tuple[AnyDevice, ...]:
    store = ThermalStore(id="store", carrier="cold", capacity_kwh=400, charge_limit_kw=90, discharge_limit_kw=90)
    chiller = Chiller(id="chiller1", cooling_limit_kw=300, min_part_load=float(rng.uniform(0, 0.4)))
    return _maybe(rng, 0.6, Load(id="cold_load", carrier="cold"), chiller, *_maybe(rng, 0.7, store))


def _heat(rng: np.random.Generator) -> tuple[AnyDevice, ...]:
    store = ThermalStore(id="tank", carrier="heat", capacity_kwh=300, charge_limit_kw=80, discharge_limit_kw=80)
    pump = HeatPump(id="heat_pump1", heat_limit_kw=250, min_part_load=float(rng.uniform(0, 0.4)))
    return _maybe(rng, 0.4, Load(id="heat_load", carrier="heat"), pump, *_maybe(rng, 0.7, store))


def _charger(rng: np.random.Generator, number: int) -> V2gCharger:
    power = float(rng.choice([7.0, 20.0, 60.0]))
    return V2gCharger(id=f"ev{number}", charge_limit_kw=power, discharge_limit_kw=float(rng.choice([0.0, power])))


def _situation(rng: np.random.Generator, chargers: Sequence[str]) -> Situation:
    hour = np.arange(STEPS) / 4
    level = rng.uniform(0.2, 1.2, 3)
    price = np.select([hour < 2, hour < 4], level[:2], level[2]) + rng.normal(0, 0.02, STEPS)
    price = price - float(rng.choice([0.0, 0.0, 0.6]))
    export = np.full(STEPS, float(rng.choice([0.0, 0.3, 0.9])))
    series = {
        "load.demand_kw": np.abs(rng.normal(250, 40, STEPS)),
        "pv1.available_kw": np.abs(rng.normal(150, 120, STEPS)),
        "cold_load.demand_kw": np.abs(rng.normal(120, 30, STEPS)),
        "heat_load.demand_kw": np.abs(rng.normal(90, 20, STEPS)),
        "weather.temperature_c": rng.normal(20, 6, STEPS),
    }
    return Situation(
        site="random",
        issued_at=START,
        grid=TimeGrid(START, 15, STEPS),
        state={"grid": {"peak_kw": float(rng.uniform(0, 400))}},
        series=series,
        prices=Prices(
            price,
            export,
            ("flat",) * STEPS,
            demand_lines(STEPS, float(rng.choice([0.0, 48.0]))),
            (0,) * STEPS,
            np.full(STEPS, 0.5),
        ),
        sessions={charger: (_car(rng, charger),) for charger in chargers},
    )


def _car(rng: np.random.Generator, charger: str) -> Session:
    arrive = START + timedelta(minutes=float(rng.uniform(-60, 120)))
    depart = arrive + timedelta(minutes=float(rng.uniform(40, 300)))
    capacity = float(rng.choice([45.0, 60.0, 77.0]))
    known = bool(rng.random() < 0.7)
    brought = float(rng.uniform(0.1, 0.6)) * capacity
    return Session(
        f"{charger}-car", charger, arrive, depart, float(rng.uniform(2, 0.35 * capacity)),
        brought if known else None, capacity if known else None,
    )  # fmt: skip


def relative_gap(seed: int) -> float:
    """Linear-first against the full MILP: their objectives' distance, relative."""
    park = random_park(seed)
    exact = Exactness(part_load_steps=STEPS, on_off_steps=STEPS)
    model = build(park.devices, park.feeders, park.situation.shape, exact)
    inputs = {d.id: d.inputs(park.situation, d.conditions(park.situation)) for d in park.devices}
    program = model.compiled.program(model.compiled.parameters.values(inputs))
    ours = solve_exactly(program, model.choices, 120.0, GAP)
    full = solve(program, model.choices, time_limit_s=120.0, gap=GAP)
    if ours.solution.usable != full.usable and not ours.cycling:
        raise RuntimeError(f"park {seed}: {ours.solution.status} against {full.status}")
    if not full.usable:
        return 0.0
    return abs(ours.solution.objective - full.objective) / max(1.0, abs(full.objective))


def mutants(plans: int = 40) -> tuple[int, int]:
    """Valid plans tampered with in flows, states and limits: how many there were, how many were refused."""
    made = caught = 0
    for seed in count():
        park = random_park(10_000 + seed)
        plan = Planner("random", park.devices, park.feeders).plan(park.situation)
        if not isinstance(plan, Plan) or plan.limits_given_way:
            continue
        if verify(park.devices, park.feeders, park.situation, plan):
            raise RuntimeError(f"park {10_000 + seed}: a valid plan was refused")
        rng = np.random.default_rng(seed)
        for mutant in _mutants_of(plan, rng, MUTANTS // plans):
            made += 1
            caught += bool(verify(park.devices, park.feeders, park.situation, mutant))
        if made >= MUTANTS:
            return made, caught
    raise AssertionError("unreachable")


def _mutants_of(plan: Plan, rng: np.random.Generator, number: int) -> Iterator[Plan]:
    for _ in range(number):
        step = int(rng.integers(0, plan.grid.near))
        if plan.states and rng.random() < 0.3:
            device = str(rng.choice(sorted(plan.states)))
            values = plan.states[device]["energy_kwh"].copy()
            values[step] += float(rng.choice([-1, 1])) * float(rng.uniform(0.05, 50))
            yield replace(plan, states={**plan.states, device: {"energy_kwh": values}})
        else:
            index = int(rng.integers(0, len(plan.flows)))
            kw = plan.flows[index].kw.copy()
            kw[step] = float(rng.choice([np.nan, -kw[step] - 1.0, kw[step] + rng.uniform(0.05, 80)]))
            flows = list(plan.flows)
            flows[index] = replace(flows[index], kw=kw)
            yield replace(plan, flows=tuple(flows))


@dataclass(frozen=True)
class Window:
    """Two weeks of one park."""

    battery_kwh: float
    first_day: int
    days: int = 14
    typical_tail: bool = False


def closed_loop_ratio(window: Window) -> float:
    """Cost of planning every quarter hour, executing the first step, over one optimisation of the whole window."""
    devices = _loop_park(window)
    net, price = _recorded(window)
    total = len(net)
    bound = _loop_plan(Planner("loop", devices), net, price, 0, total, total, {})
    planner, state, peak, bought, wear = Planner("loop", devices), 0.5 * window.battery_kwh, 0.0, 0.0, 0.0
    typical = _typical_day(net)
    for at in range(total):
        near = min(96, total - at)
        known = net if not window.typical_tail else _with_typical_tail(net, typical, at + near)
        given = {"battery1": {"energy_kwh": state}, "grid": {"peak_kw": peak}}
        plan = _loop_plan(planner, known, price, at, near, total, given)
        taken, discharge = float(plan.flow("grid", "import_kw")[0]), float(plan.flow("battery1", "discharge_kw")[0])
        state, peak = float(plan.states["battery1"]["energy_kwh"][1]), max(peak, taken)
        bought += taken * price[at] * 0.25
        wear += 0.1 * discharge * 0.25
    left = 0.95 * float(price.min()) * state
    return (bought + wear + 40.0 * peak - left) / bound.total_cost


def _loop_park(window: Window) -> tuple[AnyDevice, ...]:
    size = window.battery_kwh
    return (
        GridConnection(id="grid", import_limit_kw=5000),
        Load(id="load", carrier="power"),
        Battery(id="battery1", capacity_kwh=size, charge_limit_kw=size / 2, discharge_limit_kw=size / 2),
    )


def _recorded(window: Window) -> tuple[Array, Array]:
    """(quarters,) load less PV [kW], never negative here, and the import price of the shipped park's tariff."""
    site = load_site("jiashan_park")
    first = datetime(2026, 6, 30, 16, tzinfo=UTC) + timedelta(days=window.first_day)
    steps = window.days * 96
    frame = read_history(sample_folder(site.id)).window(first, first + timedelta(days=window.days))
    net = (frame["load.demand_kw"] - frame["pv1.available_kw"]).clip(lower=0.0).to_numpy()
    return net, prices_for(site, load_tariff(site), TimeGrid(first, 15, steps)).import_per_kwh


def _typical_day(net: Array) -> Array:
    return np.asarray(net.reshape(-1, 96).mean(axis=0))


def _with_typical_tail(net: Array, typical: Array, first: int) -> Array:
    days = len(net) // 96
    return np.concatenate([net[:first], np.tile(typical, days)[first:]])


def _loop_plan(
    planner: Planner, net: Array, price: Array, at: int, near: int, total: int, state: Mapping[str, Mapping[str, float]]
) -> Plan:
    """The plan from step `at` on: `near` quarter hours, then hours to the end of the window."""
    tail_hours, edges = _tail(at + near, total)

    def average(values: Array) -> Array:
        parts = [values[a:b].mean() if b > a else 0.0 for a, b in edges]
        return np.concatenate([values[at : at + near], parts])

    steps = near + len(edges)
    situation = Situation(
        site="loop",
        issued_at=START,
        grid=TimeGrid(START + at * timedelta(minutes=15), 15, near, tail_hours),
        state=state,
        series={"load.demand_kw": average(net)},
        prices=Prices(
            np.where(np.arange(steps) < near + sum(b > a for a, b in edges), average(price), float(price.min())),
            np.zeros(steps), ("flat",) * steps, demand_lines(steps, 40.0), (0,) * steps, np.zeros(steps),
        ),
    )  # fmt: skip
    plan = planner.plan(situation, 120.0)
    if not isinstance(plan, Plan):
        raise RuntimeError(plan.reason)
    return plan


def _tail(first: int, total: int) -> tuple[tuple[float, ...], list[tuple[int, int]]]:
    """Hours and index ranges of one-hour steps from `first` to the end, always as many."""
    number = max(0, total - 96) // 4 + 1
    cuts = [min(total, first + 4 * i) for i in range(number + 1)]
    edges = list(pairwise(cuts))
    return tuple((b - a) / 4 for a, b in edges), edges


def measure() -> Sequence[Figure]:
    known = [Window(size, day) for size in (300.0, 1000.0) for day in (0, 14, 28, 42, 56)]
    typical = [replace(window, typical_tail=True) for window in known]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        gaps = list(pool.map(relative_gap, range(PARKS), chunksize=10))
        made, caught = mutants()
        loops = list(pool.map(closed_loop_ratio, [*known, *typical]))
    half = len(known)
    how = f"{half} windows of 14 days, two battery sizes"
    return [
        Figure("parks", len(gaps), "", "seeded random parks of all device kinds"),
        Figure("worst_relative_gap", max(gaps), "relative", "linear-first against all binaries, both to 1e-8"),
        Figure("mutants", made, "", "valid plans tampered with"),
        Figure("mutants_caught", caught, "", "refused by the verifier"),
        Figure("closed_loop_over_whole", float(np.mean(loops[:half])), "ratio", f"{how}, all known"),
        Figure("closed_loop_over_whole_worst", max(loops[:half]), "ratio", f"{how}, all known"),
        Figure("closed_loop_typical_tail", float(np.mean(loops[half:])), "ratio", f"{how}, a typical day in the tail"),
        Figure("closed_loop_typical_tail_worst", max(loops[half:]), "ratio", f"{how}, a typical day in the tail"),
    ]


if __name__ == "__main__":
    main("optimality", __doc__ or "", measure)
