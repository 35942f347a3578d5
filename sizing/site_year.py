"""A site and its history as year model and replay need them: the year without what is sized, and variants with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from hil.closed_loop import simulated_meters
from optimizer.devices import AnyDevice
from optimizer.devices.battery import Battery
from optimizer.devices.grid_connection import GridConnection
from optimizer.devices.pv import Pv
from optimizer.devices.thermal_store import ThermalStore
from optimizer.errors import InputError, Problem
from optimizer.situation import Prices
from optimizer.time_grid import Array
from settlement.bill import market_columns
from settlement.utility_bill import EXPORT, IMPORT
from site_configs.demand import FLOOR_SHARE
from site_configs.history import History
from site_configs.prices import grid_for, prices_for
from site_configs.site import Feeder, Site, TariffChoice
from site_configs.tariff import Tariff, load_tariff
from sizing.candidates import BatteryCandidate, Candidates, PvCandidate
from sizing.options import Option, with_options
from sizing.park_year import ENERGY, POWER, SUN, BatteryTraits, Offer, Offers, ParkYear, PeakBilling, annuity

HOURS_OF_YEAR = 8760.0


@dataclass(frozen=True)
class BuiltSizes:
    """Sizes as they are bought and named in a site file."""

    battery_kwh: float = 0.0
    battery_kw: float = 0.0
    pv_kw: float = 0.0
    contract_kw: float | None = None
    options: tuple[str, ...] = ()
    """Ids of the options that are bought."""

    @property
    def nothing(self) -> bool:
        return self.battery_kwh == 0.0 and self.pv_kw == 0.0 and not self.options

    @property
    def options_alone(self) -> BuiltSizes:
        """Without battery and PV."""
        return BuiltSizes(options=self.options)


@dataclass(frozen=True, eq=False)
class SizedSite:
    """A site, a stretch of its history, and what of it is to be sized."""

    site: Site
    history: History
    start: datetime
    end: datetime
    candidates: Candidates
    chosen: tuple[str, ...] = ()
    """Ids of the options that are taken as bought; battery, PV and contract are sized for the site with them."""

    @cached_property
    def battery(self) -> Battery | None:
        """The battery that is sized, as the site file has it."""
        found = self._device(self.candidates.battery)
        return found if isinstance(found, Battery) else None

    @cached_property
    def pv(self) -> Pv | None:
        found = self._device(self.candidates.pv)
        return found if isinstance(found, Pv) else None

    @property
    def usable_share(self) -> float:
        """Share of the battery's capacity between its lowest and highest state of charge [-]."""
        return self.battery.max_soc - self.battery.min_soc if self.battery else 1.0

    @property
    def per_year(self) -> float:
        """Years in a year over years in the stretch: what a sum over it is multiplied by [-]."""
        return HOURS_OF_YEAR / ((self.end - self.start).total_seconds() / 3600.0)

    @cached_property
    def year(self) -> ParkYear:
        """The stretch as the year model sees it: the site without what is sized, under simple local control.

        Raises:
            InputError: the history does not cover it, or the site has several demand lines.
        """
        site, tariff = self.variant(BuiltSizes(options=self.chosen))[0], load_tariff(self.site)
        meters = simulated_meters(site, self.history, (self.start, self.end), "rules")
        prices, month = self._prices(tariff)
        grid = next(device for device in self.site.devices if isinstance(device, GridConnection))
        load = (meters[IMPORT] - meters[EXPORT]).to_numpy(dtype=float)
        return ParkYear(
            hours=self.site.step_minutes / 60.0,
            load_kw=load,
            sun=self._sun(len(load)),
            import_price=np.concatenate([price.import_per_kwh for price in prices]),
            export_price=np.concatenate([price.export_per_kwh for price in prices]),
            month=month,
            peaks=self._peaks(prices),
            battery=self._traits(),
            import_limit_kw=grid.import_limit_kw,
            export_limit_kw=grid.export_limit_kw,
        )

    @cached_property
    def offers(self) -> Offers:
        """Sizes and yearly costs, in usable energy, for the stretch that the year model sees."""
        battery, pv = self.candidates.battery, self.candidates.pv
        energy, power, sun, rate = Offer(0.0, 0.0), Offer(0.0, 0.0), Offer(0.0, 0.0), np.inf
        if battery is not None:
            share, yearly = self.usable_share, self._yearly(battery)
            least, most = battery.capacity_kwh
            energy = Offer(battery.cost_per_kwh * yearly / share, most * share, least * share)
            power = Offer(battery.cost_per_kw * yearly, battery.power_kw[1], battery.power_kw[0])
            rate = battery.greatest_rate_per_hour / share
        if pv is not None:
            sun = Offer(pv.cost_per_kw * self._yearly(pv), pv.capacity_kw[1], pv.capacity_kw[0])
        return Offers(energy, power, sun, greatest_rate_per_hour=rate)

    def built(self, sizes: Array, contract_kw: float | None = None) -> BuiltSizes:
        """Sizes of the year model as they are bought; what is as good as nothing is nothing."""
        energy, power, sun = (float(size) for size in sizes[:3])
        without = energy < 1.0 or power < 0.5
        return BuiltSizes(
            0.0 if without else energy / self.usable_share,
            0.0 if without else power,
            0.0 if sun < 0.5 else sun,
            contract_kw,
            self.chosen,
        )

    def usable(self, built: BuiltSizes) -> Array:
        """(5,) sizes of the year model, from those that are bought."""
        sizes = np.zeros(5)
        sizes[ENERGY], sizes[POWER], sizes[SUN] = built.battery_kwh * self.usable_share, built.battery_kw, built.pv_kw
        return sizes

    def invested(self, built: BuiltSizes) -> float:
        """Annuities and upkeep of what is bought, for the length of the stretch [money]."""
        options = sum(option.cost * self._yearly(option) for option in self.candidates.bought(built.options))
        return float(self.offers.cost @ self.usable(built)) + options

    def variant(self, sizes: BuiltSizes) -> tuple[Site, History]:
        """The site and its history with these sizes; a device of size 0 is not there.

        What is bought begins empty: content that nobody paid for would be earned, and more of it the larger the store.
        """
        changes: dict[str, dict[str, float] | None] = {}
        frame = self.history.frame
        if self.battery is not None:
            own = {"capacity_kwh": sizes.battery_kwh, "initial_soc": self.battery.min_soc}
            own |= {"charge_limit_kw": sizes.battery_kw, "discharge_limit_kw": sizes.battery_kw}
            changes[self.battery.id] = own if sizes.battery_kwh > 0 else None
        if self.pv is not None:
            changes[self.pv.id] = {"capacity_kw": sizes.pv_kw} if sizes.pv_kw > 0 else None
            name = f"{self.pv.id}.available_kw"
            frame = frame.assign(**{name: frame[name] * (sizes.pv_kw / self.pv.capacity_kw)})
        bought = self.candidates.bought(sizes.options)
        site = with_options(self.site, [_as_bought(option, self.site) for option in bought])
        return _changed(site, changes, sizes.contract_kw), replace(self.history, frame=frame)

    def _device(self, candidate: BatteryCandidate | PvCandidate | None) -> AnyDevice | None:
        return None if candidate is None else next(d for d in self.site.devices if d.id == candidate.device)

    def _yearly(self, candidate: BatteryCandidate | PvCandidate | Option) -> float:
        """Annuity and upkeep per money invested, for the length of the stretch [-]."""
        rate = self.candidates.economics.discount_rate
        return (annuity(rate, candidate.life_years) + candidate.upkeep_share) / self.per_year

    def _sun(self, steps: int) -> Array:
        if self.pv is None:
            return np.zeros(steps)
        available = self.history.need(f"{self.pv.id}.available_kw", self.start, self.end)
        step = pd.Timedelta(minutes=self.site.step_minutes)
        means = available.resample(step).mean().to_numpy(dtype=float)
        return np.clip(means / self.pv.capacity_kw, 0.0, 1.0)

    def _traits(self) -> BatteryTraits:
        if self.battery is None:
            return BatteryTraits()
        own = self.battery
        return BatteryTraits(own.charge_efficiency, own.discharge_efficiency, own.wear_cost_per_kwh)

    def _prices(self, tariff: Tariff) -> tuple[list[Prices], np.ndarray[Any, np.dtype[np.int64]]]:
        """Prices by billing month, and the month of every step."""
        found: list[Prices] = []
        months: list[int] = []
        at = self.start
        while at < self.end:
            until = min(tariff.billing_month(at)[1], self.end)
            hours = (until - at).total_seconds() / 3600.0
            grid = grid_for(self.site, at, hours, tail=False)
            market = {
                name: grid.average(self.history.need(name, at, until)) for name in market_columns(self.site, tariff)
            }
            months += [len(found)] * grid.shape.steps
            found.append(prices_for(self.site, tariff, grid, market))
            at = until
        return found, np.array(months, dtype=np.int64)

    def _peaks(self, prices: list[Prices]) -> PeakBilling:
        lines = [price.demand for price in prices]
        if any(len(line) > 1 for line in lines):
            message = "several demand lines: the year model takes one; size such a site by replays"
            raise InputError([Problem(self.site.id, "tariff", str(len(lines[0])), message)])
        if not lines[0]:
            steps = sum(len(price.import_per_kwh) for price in prices)
            return PeakBilling(np.zeros(len(prices)), np.ones(steps, dtype=bool))
        counted = np.concatenate([line[0].inside for line in lines]) > 0.0
        price = np.array([line[0].price_per_kw for line in lines])
        if self.candidates.contract_demand and isinstance(self.site.tariff, TariffChoice):
            installed = self.site.tariff.transformer_kva + self.site.tariff.motors_kva
            return PeakBilling(price / 2.0, counted, contract=True, contract_floor_kw=float(FLOOR_SHARE) * installed)
        return PeakBilling(price, counted, free_kw=float(lines[0][0].free_kw))


def _as_bought(option: Option, site: Site) -> Option:
    """The option with its stores empty, but for what the ones hold that make way for them."""
    before = {device.id: device for device in site.devices}
    devices: list[AnyDevice] = []
    for device in option.devices:
        if isinstance(device, Battery):
            devices.append(device.model_copy(update={"initial_soc": device.min_soc}))
        elif isinstance(device, ThermalStore):
            old = before.get(device.id)
            held_kwh = old.initial_fill * old.capacity_kwh if isinstance(old, ThermalStore) else 0.0
            devices.append(device.model_copy(update={"initial_fill": min(1.0, held_kwh / device.capacity_kwh)}))
        else:
            devices.append(device)
    return option.model_copy(update={"devices": tuple(devices)})


def _changed(site: Site, changes: Mapping[str, dict[str, float] | None], contract_kw: float | None) -> Site:
    """The site with devices of other sizes, without those of none, and with another contract demand."""
    gone = {name for name, change in changes.items() if change is None}
    devices = tuple(
        device.model_copy(update=changes.get(device.id) or {}) for device in site.devices if device.id not in gone
    )
    update: dict[str, Any] = {"devices": devices, "feeders": tuple(_feeders(site.feeders, gone))}
    if contract_kw is not None:
        update["tariff"] = site.tariff.model_copy(update={"contract_demand_kw": contract_kw})
    return site.model_copy(update=update)


def _feeders(feeders: tuple[Feeder, ...], gone: set[str]) -> list[Feeder]:
    """The feeders with what is left behind them; one with nothing behind it goes, too."""
    kept = [f.model_copy(update={"members": tuple(m for m in f.members if m not in gone)}) for f in feeders]
    empty = {feeder.id for feeder in kept if not feeder.members}
    return kept if not empty else _feeders(tuple(f for f in kept if f.members), empty)
