"""The simulated plant's speed: the fleet against NumPy, against a Numba loop by hand, against what a core can read;
and a year of one park with its site controller.

`fleet_case.py` says which fleet; `fleet_other_ways.py` has the other ways. All ways get the same arrays, and their
records are compared before anything is measured. Rounds of all ways in turn, medians of the rounds' ratios; times on
one core are of the core's own work, so that other work of the machine does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numba
import numpy as np
from figures import Figure, main, median, tracked
from fleet_case import Case, case
from fleet_other_ways import CARS, Bare, InNumpy, python_charger_steps

from hil.fleet.fleet import FleetRecords
from hil.plant import HeldSetpoint, Plant, offer, run_minutes
from hil.recorded import recorded_plant
from optimizer.time_grid import Array
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site

SITES = 1000
STEPS = 96
ROUNDS = 15
READ_VALUES = 32 * 1024 * 1024
"""256 MB: more than a core has in caches of its own."""
SHIPPED = "jiashan_park"
DAYS_OF_PARK = 28
DAY = timedelta(days=1)
GYM_STEPS_PER_S = 660.0
"""python-microgrid: steps of one site."""
GYM_CHARGERS_PER_S = 46_000.0
"""ACN-Sim: updates of one charger."""


@numba.njit(fastmath=True)
def read_all(values: Array) -> float:
    """Reads every value once; sums in many lanes, so that memory alone is the limit."""
    total = 0.0
    for i in range(len(values)):
        total += values[i]
    return total


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> float:
    began = clock()
    work()
    return clock() - began


def agree(fleet_case: Case) -> None:
    """Raises RuntimeError unless every way gives the fleet's records."""
    _, ours = fleet_case.fleet.run(fleet_case.start, fleet_case.targets, fleet_case.surroundings)
    bare, in_numpy = Bare(fleet_case, keep=True), InNumpy(fleet_case, keep=True)
    bare.run()
    in_numpy.run()
    by_hand = np.stack(bare.sites, axis=1)
    pairs: list[tuple[Array, Array]] = [(ours.sites, by_hand), (ours.sites, in_numpy.records.sites)]
    for group, values in ours.devices.items():
        pairs.append((values, in_numpy.records.devices[group]))
        pairs += [(values[:, n], np.stack(row, axis=1)) for n, row in enumerate(bare.rows[group])]
    if not all(np.allclose(mine, theirs, rtol=1e-12, atol=1e-9) for mine, theirs in pairs):
        raise RuntimeError("the other ways do not give the fleet's records")


def fleet_figures() -> list[Figure]:
    measured, ready = case(SITES, STEPS, 15), np.ones(READ_VALUES)
    agree(measured)
    bare, in_numpy = Bare(measured, keep=False), InNumpy(measured, keep=False)
    records, whole = (measured.fleet.empty_records(STEPS, of_devices=kept) for kept in (False, True))
    read_all(ready)
    work = {
        "ours": lambda: _run_into(measured, records),
        "recorded": lambda: _run_into(measured, whole),
        "bare": bare.run,
        "numpy": in_numpy.run,
        "read": lambda: read_all(ready),
    }
    rounds = tracked(({name: seconds(way) for name, way in work.items()} for _ in range(ROUNDS)), ROUNDS, "fleet")
    per_s = measured.device_steps / median([r["ours"] for r in rounds])
    used = [measured.bytes / r["ours"] / (ready.nbytes / r["read"]) for r in rounds]
    recorded = measured.device_steps / median([r["recorded"] for r in rounds])
    how = f"{SITES} sites of {sum(measured.fleet.rows.values())} devices, {STEPS} steps, one core"
    counted = "setpoints, surroundings, states in and out, sites' records: once a step, over 256 MB read"
    return [
        Figure("device_steps_per_s", per_s, "1/s", how),
        Figure("device_steps_per_s_recorded", recorded, "1/s", f"{how}; every flow and state of every device kept"),
        Figure("plant_over_bare_loop", _ratio(rounds, "bare"), "ratio", f"{how}; Numba loop by hand over ours"),
        Figure("plant_over_numpy", _ratio(rounds, "numpy"), "ratio", f"{how}; NumPy over sites and chargers over ours"),
        Figure("read_bandwidth_share", median(used), "ratio", f"{how}; {counted}"),
        Figure("read_gb_per_s", ready.nbytes / median([r["read"] for r in rounds]) / 1e9, "GB/s", "one core, 256 MB"),
        *_against_python_and_gyms(measured, per_s),
        *_threads(measured, records),
    ]


def _run_into(measured: Case, records: FleetRecords) -> None:
    """A run that writes into records that exist, as a caller does who runs in parts."""
    measured.fleet.run(measured.start, measured.targets, measured.surroundings, records=records)


def _ratio(rounds: Sequence[Mapping[str, float]], other: str) -> float:
    return median([r[other] / r["ours"] for r in rounds])


def _against_python_and_gyms(measured: Case, per_s: float) -> list[Figure]:
    python_s = median([seconds(lambda: python_charger_steps(20_000)) for _ in range(5)]) / 20_000
    share = measured.fleet.rows[CARS] * SITES * STEPS / measured.device_steps
    one = case(1, 1440, 1)
    alone = one.fleet.empty_records(1440)
    _run_into(one, alone)
    one_s = median([seconds(lambda: _run_into(one, alone)) for _ in range(ROUNDS)])
    return [
        Figure("plant_over_python", python_s * per_s, "ratio", "the charger's own step in plain Python over ours"),
        Figure("device_steps_per_s_1_site", one.device_steps / one_s, "1/s", "one site, a day of minutes, one core"),
        Figure("site_steps_over_gym", 1440 / one_s / GYM_STEPS_PER_S, "ratio", "one site, over 660 steps/s"),
        Figure(
            "charger_steps_over_gym", per_s * share / GYM_CHARGERS_PER_S, "ratio",
            f"{SITES} sites with all their devices, over 46 k charger-updates/s",
        ),
    ]  # fmt: skip


def _threads(measured: Case, records: FleetRecords) -> list[Figure]:
    def run(threads: int) -> float:
        fleet = measured.fleet
        return seconds(
            lambda: fleet.run(measured.start, measured.targets, measured.surroundings, threads, records),
            time.perf_counter,
        )

    pairs = [(run(1), run(2)) for _ in range(ROUNDS)]
    how = "wall clock, median of pairs; less where other work has the second core"
    return [
        Figure("cores_2_over_1", median([one / two for one, two in pairs]), "ratio", how),
        Figure("device_steps_per_s_2_cores", measured.device_steps / min(two for _, two in pairs), "1/s", how),
    ]


def year_figures() -> list[Figure]:
    """A year of the shipped park with its site controller: thirteen times 28 recorded days, and one."""
    site, history = load_site(SHIPPED), read_history(sample_folder(SHIPPED))
    start = history.frame.index[0].to_pydatetime() + DAY
    plant = recorded_plant(site, history, start, 96 * DAYS_OF_PARK, seed=1)
    _days(plant, 1)
    took = [_year(plant) for _ in range(3)]
    how = (
        f"{len(plant.devices)} controlled devices of {SHIPPED}: setpoints, lags, thermostat, guard, meter, records; "
        "setpoints once a day, one core"
    )
    return [
        Figure("year_1min_s", median(took), "s", how),
        Figure("site_minutes_per_s", 525_600 / median(took), "1/s", how),
    ]


def _year(plant: Plant) -> float:
    whole, rest = divmod(365, DAYS_OF_PARK)
    return sum(_days(plant, DAYS_OF_PARK) for _ in range(whole)) + _days(plant, rest)


def _days(plant: Plant, days: int) -> float:
    """Seconds of so many days from the start of the record."""
    state = plant.start()

    def run() -> None:
        nonlocal state
        for day in range(days):
            told = {name: _setpoint(plant, name, day) for name in plant.controlled}
            state, _ = offer(plant, state, told)
            state, _ = run_minutes(plant, state, 1440)

    return seconds(run)


def _setpoint(plant: Plant, name: str, day: int) -> HeldSetpoint:
    """Half of what the device can take on even days, half of what it can give on odd ones."""
    least, greatest = plant.devices[plant.slots[name]].bounds_kw()
    begin = plant.drivers.start + day * DAY
    return HeldSetpoint(day + 1, (greatest if day % 2 else least or greatest) / 2, 0.0, begin, begin + DAY)


def measure() -> Sequence[Figure]:
    return [*fleet_figures(), *year_figures()]


if __name__ == "__main__":
    main("plant", __doc__ or "", measure)
