"""The reference park: 3 batteries, V2G chargers, CHP, boiler, heat pump, two kinds of chillers, hot and cold store.

Loads, PV, weather and cars are the recorded ones of the shipped park (`site_configs/sample`), scaled to the size of
this one, with everything known ahead; prices are those of its tariff. Recorded sessions of later weeks stand at the
chargers that the shipped park does not have. The heat demand follows the outdoor temperature of the record (there is no
heat meter in it): 14 kW for each kelvin below 26 °C on top of 150 kW of hot water.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from optimizer.devices import (
    AbsorptionChiller,
    AnyDevice,
    Battery,
    Chiller,
    Chp,
    GasBoiler,
    GasSupply,
    GridConnection,
    HeatPump,
    Load,
    Pv,
    ThermalStore,
    V2gCharger,
)
from optimizer.situation import Session, Situation
from optimizer.time_grid import TimeGrid
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.prices import prices_for
from site_configs.site import Site
from site_configs.tariff import Tariff, load_tariff

SITE = "jiashan_park"
START = datetime(2026, 7, 6, 16, tzinfo=UTC)
"""A Tuesday of July, local midnight."""
PEAK_KW = 900.0
WEEK = timedelta(weeks=1)
CHARGERS_RECORDED = 10
WEEKS_RECORDED = 12
LOAD_SCALE, COLD_SCALE, PV_SCALE = 1.6, 2.5, 1.2


def devices(chargers: int = 20, *, on_off: bool = True) -> tuple[AnyDevice, ...]:
    """The park; without `on_off` no CHP, and machines that may run at any part load: a model without binaries."""
    least = {} if on_off else {"min_part_load": 0.0}
    chp = Chp(id="chp1", power_limit_kw=400, min_up_hours=2.0, min_down_hours=2.0)
    return (
        GridConnection(id="grid", import_limit_kw=4000 + 20 * chargers, export_limit_kw=1500),
        GasSupply(id="gas", supply_limit_kw=4000, price_per_nm3=3.4),
        Load(id="load", carrier="power"),
        Load(id="cold_load", carrier="cold"),
        Load(id="heat_load", carrier="heat"),
        Pv(id="pv1", capacity_kw=600),
        Battery(id="battery1", capacity_kwh=2000, charge_limit_kw=1000, discharge_limit_kw=1000),
        Battery(id="battery2", capacity_kwh=1000, charge_limit_kw=500, discharge_limit_kw=500),
        Battery(id="battery3", capacity_kwh=430, charge_limit_kw=200, discharge_limit_kw=200),
        ThermalStore(id="hot_store", carrier="heat", capacity_kwh=1500, charge_limit_kw=400, discharge_limit_kw=400),
        ThermalStore(id="cold_store", carrier="cold", capacity_kwh=2000, charge_limit_kw=400, discharge_limit_kw=400),
        *((chp,) if on_off else ()),
        GasBoiler(id="boiler1", heat_limit_kw=900, **least),
        HeatPump(id="heat_pump1", heat_limit_kw=300, **least),
        AbsorptionChiller(id="absorption_chiller1", cooling_limit_kw=350, **least),
        Chiller(id="chiller1", cooling_limit_kw=700, **least),
        *(
            V2gCharger(id=f"ev{k:03d}", charge_limit_kw=20, discharge_limit_kw=20 if k % 2 == 0 else 0)
            for k in range(chargers)
        ),
    )


@dataclass(frozen=True)
class Record:
    """What the situations are cut from."""

    site: Site
    tariff: Tariff
    history: History
    chargers: int

    @classmethod
    def read(cls, chargers: int = 20) -> Record:
        site = load_site(SITE)
        return cls(site, load_tariff(site), read_history(sample_folder(SITE)), chargers)

    def situation(
        self,
        at: datetime,
        state: Mapping[str, Mapping[str, float]] | None = None,
        *,
        hours: int = 24,
        peak_kw: float = PEAK_KW,
    ) -> Situation:
        """The moment `at` with the next `hours` known, and the cars that come in them."""
        grid = TimeGrid(at, 15, 4 * hours)
        frame = self.history.window(at, grid.end)
        temperature = frame["weather.temperature_c"].to_numpy(dtype=float)
        return Situation(
            site="reference_park",
            issued_at=at,
            grid=grid,
            state={**(state or {}), "grid": {"peak_kw": peak_kw}},
            series={
                "load.demand_kw": LOAD_SCALE * frame["load.demand_kw"].to_numpy(dtype=float),
                "cold_load.demand_kw": COLD_SCALE * frame["cold_load.demand_kw"].to_numpy(dtype=float),
                "heat_load.demand_kw": 150.0 + 14.0 * np.clip(26.0 - temperature, 0.0, None),
                "pv1.available_kw": PV_SCALE * frame["pv1.available_kw"].to_numpy(dtype=float),
                "weather.temperature_c": temperature,
            },
            prices=prices_for(self.site, self.tariff, grid),
            sessions={f"ev{k:03d}": self._cars(k, at, grid.end) for k in range(self.chargers)},
        )

    def _cars(self, charger: int, begin: datetime, end: datetime) -> tuple[Session, ...]:
        """The recorded cars of one charger; the further chargers have those of later weeks."""
        source = f"ev{charger % CHARGERS_RECORDED + 1:02d}"
        later = charger // CHARGERS_RECORDED % WEEKS_RECORDED * WEEK
        found = (
            replace(s, charger=f"ev{charger:03d}", arrive=s.arrive - later, depart=s.depart - later)
            for s in self.history.sessions
            if s.charger == source
        )
        return tuple(sorted((s for s in found if s.depart > begin and s.arrive < end), key=lambda s: s.arrive))
