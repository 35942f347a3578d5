"""A fleet of sites stepped together: from devices to arrays, over threads, and back to names.

Sites are independent of one another, so each thread takes a span of sites and the result does not depend on how many
threads there are. Nothing here decides: setpoints come for the whole run, as arrays. What a site controller would do
between them (delay, lag, local thermostat, peak guard) is in the plant of one site (`hil.plant`); the physical steps
are the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hil.fleet import kernels
from hil.fleet.groups import FORMS, Form, Group, group_of, kernel_of
from hil.physics.meters import WINDOW_MINUTES
from hil.truth import Meters
from optimizer.devices import AnyDevice
from optimizer.devices.expected_cars import ExpectedCars
from optimizer.devices.gas_supply import GasSupply
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.storage import Store
from optimizer.devices.v2g_charger import V2gCharger
from optimizer.situation import Situation
from optimizer.time_grid import Array

CHUNK_VALUES = 32_768
"""Steps times sites that are stepped by one device kind after the other: their buses stay in a core's second cache."""
LINE_VALUES = 8
"""In a line of a core's cache."""
LEAST_SPAN = 64
"""Sites below which a thread more does not pay."""

Places = Mapping[tuple[int, str], tuple[Group, int]]
ByGroup = Mapping[Group, Array]


def aligned(shape: tuple[int, ...]) -> Array:
    """An empty array that begins where a line of the core's cache does. NumPy's begin 16 bytes into one, so that every
    vector of eight values is read from two lines: a fleet of 1,000 takes an eighth longer."""
    size = math.prod(shape)
    room = np.empty(size + LINE_VALUES)
    skipped = -room.ctypes.data // room.itemsize % LINE_VALUES
    return room[skipped : skipped + size].reshape(shape)


def aligned_copy(values: Array) -> Array:
    copy = aligned(values.shape)
    copy[...] = values
    return copy


@dataclass(frozen=True)
class Cars:
    """When what stands at the chargers changes; see `kernels.charger_kernel`."""

    first_change: NDArray[np.int64]
    """(rows + 1,) where each row's changes begin."""
    steps: NDArray[np.int64]
    sites: NDArray[np.int64]
    cars: Array
    """(changes, 8)."""


@dataclass(frozen=True)
class Surroundings:
    """What the surroundings of all sites allow."""

    around: ByGroup
    """(steps, rows, conditions, sites); (0, rows, ...) for chargers."""
    cars: Cars
    steps: int


@dataclass(frozen=True)
class FleetState:
    """All sites at one moment, as a value."""

    step: int
    """Steps since the start of the surroundings."""
    states: ByGroup
    """(rows, states, sites)."""
    standing: Array
    """(chargers, 6, sites) what stands at each charger."""
    window_kw: Array
    """(n, sites) imports of the last steps within the demand window; a ring."""

    def copy(self) -> FleetState:
        states = {group: aligned_copy(array) for group, array in self.states.items()}
        return FleetState(self.step, states, aligned_copy(self.standing), aligned_copy(self.window_kw))


@dataclass(frozen=True)
class FleetRecords:
    """What happened: means over each step [kW], states at its end."""

    devices: ByGroup
    """(steps, rows, quantities and states, sites); of the last step alone where no more was to be kept."""
    sites: Array
    """(steps, 11, sites); places in `kernels`."""
    places: Places

    def get(self, site: int, name: str) -> Array:
        """(steps,) one series of one site, by `<device>.<quantity>`; raises KeyError or ValueError without one."""
        device, quantity = name.split(".", 1)
        group, row = self.places[site, device]
        form = FORMS[group.kind]
        return self.devices[group][:, row, (*form.quantities, *form.states).index(quantity), site]

    def shown(self, places: Sequence[int], meters: Meters, seed: int, first_step: int = 0) -> Array:
        """(steps, places, sites) what the billing meters show of these places of `sites` [kW]."""
        shown = np.empty((len(self.sites), len(places), self.sites.shape[-1]))
        wanted = np.asarray(places, dtype=np.int64)
        share, quantum = meters.billing_noise_share, meters.quantum_kw
        kernels.show(self.sites, shown, wanted, share, quantum, seed, first_step, 0, shown.shape[-1])
        return shown


class Fleet:
    """Sites with their devices as arrays; nothing here changes while it runs."""

    def __init__(self, sites: Sequence[Sequence[AnyDevice]], step_minutes: float) -> None:
        """Sites may differ: one that lacks a device of a row has an idle one there."""
        self.sites = [tuple(devices) for devices in sites]
        self.hours = step_minutes / 60.0
        self.window_steps = max(1, round(WINDOW_MINUTES / step_minutes))
        self.places: Places = {place: at for n, devices in enumerate(self.sites) for place, at in _placed(n, devices)}
        self.rows = {group: 1 + max(row for at, row in self.places.values() if at == group) for group in self._groups()}
        self.parameters = {group: self._parameters(group) for group in self.rows}
        self.lines = {group: self._lines(group) for group in self.rows if group.limited}
        self.limits = aligned_copy(np.array([_connection(devices) for devices in self.sites]).T)

    def _groups(self) -> list[Group]:
        return list(dict.fromkeys(group for group, _ in self.places.values()))

    def _of(self, group: Group) -> list[tuple[int, int, AnyDevice]]:
        """Row, site and device of each member of a group."""
        devices = {(n, device.id): device for n, members in enumerate(self.sites) for device in members}
        return [(row, at[0], devices[at]) for at, (own, row) in self.places.items() if own == group]

    def _parameters(self, group: Group) -> Array:
        form = FORMS[group.kind]
        values = aligned((self.rows[group], len(form.idle), len(self.sites)))
        values[:] = np.array(form.idle)[:, None]
        for row, site, device in self._of(group):
            values[row, :, site] = form.numbers(device, self.hours)
            if group.limited:
                values[row, 0, site] = _numbers(device).loss_per_hour
        return values

    def _lines(self, group: Group) -> Array:
        """(rows, sites, 2, lines, 2) limits by fill; full limits (1, 0) where a store has fewer."""
        most = max(len(lines) for _, _, device in self._of(group) for lines in _numbers(device)[6:])
        full = np.tile([1.0, 0.0], (self.rows[group], len(self.sites), 2, most, 1))
        for row, site, device in self._of(group):
            for direction, lines in enumerate(_numbers(device)[6:]):
                full[row, site, direction, : len(lines)] = lines
        return full

    def surroundings(self, situations: Sequence[Situation]) -> Surroundings:
        """From each site's situation, whose steps are the fleet's."""
        steps = situations[0].grid.near
        around = {group: self._around(group, FORMS[group.kind], situations, steps) for group in self.rows}
        chargers = Group(V2gCharger)
        cars = _changes(around.pop(chargers)) if chargers in around else _no_changes()
        around[chargers] = np.zeros((0, 0, 0, 0))
        return Surroundings(around, cars, steps)

    def _around(self, group: Group, form: Form, situations: Sequence[Situation], steps: int) -> Array:
        values = aligned((steps, self.rows[group], len(form.conditions), len(self.sites)))
        values[:] = 0.0
        values[:, :, [name == "cop" for name in form.conditions]] = 1.0
        for row, site, device in self._of(group):
            given = device.conditions(situations[site])
            for place, name in enumerate(form.conditions):
                values[:, row, place, site] = given[name][:steps]
        return values

    def start(self, situations: Sequence[Situation]) -> FleetState:
        """The fleet at the start of its sites' situations."""
        states = {g: np.zeros((n, len(FORMS[g.kind].states), len(self.sites))) for g, n in self.rows.items()}
        for group, values in states.items():
            for row, site, device in self._of(group):
                own = device.start(situations[site])
                values[row, :, site] = [own[name] for name in FORMS[group.kind].states]
        standing = np.zeros((self.rows.get(Group(V2gCharger), 0), kernels.CAR_SIZE, len(self.sites)))
        return FleetState(0, states, standing, np.zeros((self.window_steps, len(self.sites))))

    def targets(self, told: Sequence[Mapping[str, Array | float]], steps: int) -> dict[Group, Array]:
        """(steps, rows, sites) setpoints by group, from each site's by device; the safe value where none is told."""
        targets = {group: aligned((steps, rows, len(self.sites))) for group, rows in self.rows.items()}
        for group, values in targets.items():
            values[:] = 0.0
            for row, site, device in self._of(group):
                values[:, row, site] = told[site].get(device.id, device.safe_kw())
        return targets

    def run(
        self,
        state: FleetState,
        targets: ByGroup,
        surroundings: Surroundings,
        threads: int = 1,
        records: FleetRecords | None = None,
    ) -> tuple[FleetState, FleetRecords]:
        """Steps all sites as far as the targets reach. The same inputs give the same result with any number of threads.

        `records` (see `empty_records`) are filled and given back: a long run in parts need not ask for memory anew, and
        a run of which only the sites' records matter need not keep those of every device.

        Raises:
            ValueError: the surroundings end before.
        """
        steps, sites = len(next(iter(targets.values()))), len(self.sites)
        if state.step + steps > surroundings.steps:
            raise ValueError(f"{steps} steps from step {state.step} asked, the surroundings hold {surroundings.steps}")
        after = records or self.empty_records(steps), state.copy()
        spans = _spans(sites, threads)
        if len(spans) == 1:
            self._run_span(*after, targets, surroundings, 0, sites)
        else:
            with ThreadPoolExecutor(len(spans)) as pool:
                list(pool.map(lambda span: self._run_span(*after, targets, surroundings, *span), spans))
        filled, ended = after
        return FleetState(state.step + steps, ended.states, ended.standing, ended.window_kw), filled

    def empty_records(self, steps: int, *, of_devices: bool = True) -> FleetRecords:
        """Room for so many steps of the sites, and of the devices or only of their last step."""
        sizes = {group: len(FORMS[group.kind].quantities + FORMS[group.kind].states) for group in self.rows}
        kept = steps if of_devices else 1
        devices = {g: aligned((kept, rows, sizes[g], len(self.sites))) for g, rows in self.rows.items()}
        return FleetRecords(devices, aligned((steps, kernels.SITE_SIZE, len(self.sites))), self.places)

    def _run_span(
        self, records: FleetRecords, state: FleetState, targets: ByGroup, around: Surroundings, first: int, end: int
    ) -> None:
        """Sites `first` to before `end`, chunk by chunk; every array is the whole fleet's."""
        steps = len(records.sites)
        chunk = min(steps, max(1, CHUNK_VALUES // (end - first)))
        missing = aligned((chunk, len(kernels.CARRIERS), len(self.sites)))
        for at in range(0, steps, chunk):
            part = slice(at, min(at + chunk, steps))
            bus = missing[: part.stop - at]
            bus[:, :, first:end] = 0.0
            for group in self.rows:
                self._step_group(group, records, state, targets, around, part, bus, first, end)
            kernels.close(bus, self.limits, state.window_kw, records.sites[part], state.step + at, first, end)

    def _step_group(
        self, group: Group, records: FleetRecords, state: FleetState, targets: ByGroup, surroundings: Surroundings,
        part: slice, bus: Array, first: int, end: int,
    ) -> None:  # fmt: skip
        began, cars = state.step + part.start, surroundings.cars
        keep = int(len(records.devices[group]) == len(records.sites))
        target, record = targets[group][part], records.devices[group][part if keep else slice(None)]
        own, kernel = (
            (self.parameters[group], state.states[group], record, bus, keep, self.hours, first, end),
            kernel_of(group),
        )
        if group.limited:
            kernel(target, *own, self.lines[group])
        elif group.kind is V2gCharger:
            changes = cars.first_change, cars.steps, cars.sites, cars.cars
            kernel(target, state.standing, *own, *changes, began)
        else:
            kernel(target, surroundings.around[group][began : state.step + part.stop], *own)


def _spans(sites: int, threads: int) -> list[tuple[int, int]]:
    count = max(1, min(threads, sites // LEAST_SPAN))
    edges = [LINE_VALUES * (sites * n // count // LINE_VALUES) for n in range(count)]
    return list(pairwise([*edges, sites]))


def _placed(site: int, devices: Sequence[AnyDevice]) -> list[tuple[tuple[int, str], tuple[Group, int]]]:
    """Where each device of one site stands: its group, and its row by the order of the site file."""
    placed, rows = [], dict[Group, int]()
    for device in devices:
        if not isinstance(device, GridConnection | GasSupply | ExpectedCars):
            group = group_of(device)
            placed.append(((site, device.id), (group, rows.get(group, 0))))
            rows[group] = rows.get(group, 0) + 1
    return placed


def _connection(devices: Sequence[AnyDevice]) -> tuple[float, float, float]:
    """Largest import, export and gas [kW]; no connection, no power."""
    grid = next((device.bounds_kw() for device in devices if isinstance(device, GridConnection)), (0.0, 0.0))
    gas = next((device.supply_limit_kw for device in devices if isinstance(device, GasSupply)), 0.0)
    return grid[1], -grid[0], gas


def _numbers(device: AnyDevice) -> Store:
    numbers: Store = device.numbers()  # type: ignore[union-attr]  # only stores are in limited groups
    return numbers


def _changes(around: Array) -> Cars:
    """Where the conditions (steps, rows, 8, sites) of the chargers differ from those of the step before."""
    place = kernels.CAR_SIZE
    before = np.concatenate([np.zeros_like(around[:1]), around[:-1]])
    differs = np.any(around[:, :, :place] != before[:, :, :place], axis=2) | (around[:, :, place + 1] > 0.0)
    row, step, site = np.nonzero((differs | (around[:, :, place] < before[:, :, place])).transpose(1, 0, 2))
    rows = around.shape[1]
    return Cars(np.searchsorted(row, np.arange(rows + 1)), step, site, around[step, row, :, site])


def _no_changes() -> Cars:
    nothing = np.zeros(0, dtype=np.int64)
    return Cars(np.zeros(1, dtype=np.int64), nothing, nothing, np.zeros((0, kernels.CAR_SIZE + 2)))
