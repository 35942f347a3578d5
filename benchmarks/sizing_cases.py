"""Parks with a recorded year to be sized: loads, sun, heat and prices of public data sets, tariffs of four kinds.

Costs are of 2025: 900 per kWh and 300 per kW of battery over 12 years, 3000 per kW of PV over 20, a heat store at 60
per kWh and a heat pump at 4500 per kW of power over 20, interest 8 % (RULES 5 for the battery). Prices in other
currencies are converted at 7.1 (USD), 7.8 (EUR) and 9 (GBP).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from optimizer.time_grid import Array
from sizing.park_year import BatteryTraits, Offer, Offers, ParkYear, PeakBilling, ThermalSide, annuity

QUARTERS, HOURS = 35_040, 8_760
INTEREST = 0.08
EXPORT_PRICE = 0.4153
"""Zhejiang coal benchmark price (RULES 1.5)."""
DEMAND_PRICE = 40.0
USD, EUR, GBP = 7.1, 7.8, 9.0


@dataclass(frozen=True, eq=False)
class Case:
    """One park and its year."""

    name: str
    year: ParkYear
    offers: Offers

    @property
    def quarters(self) -> bool:
        return self.year.steps == QUARTERS


@dataclass(frozen=True)
class Recorded:
    """The folder of public data sets."""

    folder: Path

    def cases(self) -> tuple[Case, ...]:
        """Ten parks with one store, three with two.

        Raises:
            FileNotFoundError: a set is not there.
        """
        return (*self._on_quarters(), *self._on_hours(), *self._with_heat())

    def _on_quarters(self) -> tuple[Case, ...]:
        steel, s18, s19 = self.steel, _calendar(2018, QUARTERS), _calendar(2019, QUARTERS)
        library, campus = (
            self.ucsd("load_geisel_library", 2019),
            self.ucsd("campus_demand", 2019, "total_campus_load_kw"),
        )
        services = self.ucsd("load_student_services", 2018)
        bought = self.ucsd("campus_demand", 2018, "utility_import_kw")
        summer = np.where(np.isin(np.arange(1, 13), [6, 7, 8, 9]), 20 * USD, 8 * USD)
        spot = np.repeat(self.dutch_price(2021), 4) + 0.25
        return (
            _case("steel plant, TOU, export", steel, self.chinese_sun(0), _tou(s18), EXPORT_PRICE, s18, pv_kw=500),
            _case("steel plant, flat price", steel, self.ucsd_sun("hopkins_parking", 2019), 0.65, 0.0, s18),
            _case("student services, TOU", services, self.ucsd_sun("sdsc", 2018), _tou(s18), 0.0, s18),
            _case("library, Californian TOU", library, self.ucsd_sun("csc_building", 2019), _californian(s19), 0.2, s19,
                  demand=summer, pv_kw=5000),
            _case("campus, TOU, export", campus / 10, self.chinese_sun(1), _tou(s19), EXPORT_PRICE, s19, pv_kw=8000),
            _case("campus, Dutch spot price", bought / 10, self.ucsd_sun("sdsc", 2019), spot, 0.0, s18, demand=30.0,
                  pv_kw=8000),
        )  # fmt: skip

    def _on_hours(self) -> tuple[Case, ...]:
        hours = _calendar(2019, HOURS)
        hospital = self.building("Mouse_health_Justin", 2016)
        hospital[:1700] = hospital[1700:3400]  # not measured before
        spot = self.dutch_price(2022)
        homes, roofs = self.homes()
        return (
            _case("hospital, Dutch spot price", hospital, _hourly(self.ucsd_sun("hopkins_parking", 2019)), spot + 0.4,
                  spot - 0.2, hours, demand=0.0, pv_kw=3000, import_limit_kw=1.3 * hospital.max(),
                  export_limit_kw=0.5 * hospital.max()),
            _case("office, flat price", self.building("Fox_office_Israel", 2017), _hourly(self.ucsd_sun("sdsc", 2019)),
                  0.7, 0.0, hours),
            _case("homes, TOU", homes, roofs, self.homes_price(), 0.35, hours, demand=0.0, pv_kw=40),
            _case("office, TOU, export", self.building("Panther_office_Patti", 2017), _hourly(self.chinese_sun(0)),
                  _tou(hours), 0.25, hours, pv_kw=2500),
        )  # fmt: skip

    def _with_heat(self) -> tuple[Case, ...]:
        hours, cases = _calendar(2019, HOURS), []
        for name, price, export, demand, pv_kw in (
            ("b35", self.agile_price(), 0.3, 20.0, 600), ("b64", _tou(hours), 0.0, 40.0, 2000),
        ):  # fmt: skip
            electric, heat, temperature, sun = self.cambridge(name)
            side = _heat_side(10 * heat, temperature)
            cases.append(_case(f"university {name}, heat", electric, sun, price, export, hours, demand, pv_kw, side))
        heat, temperature = self.hot_water()
        library, sun = _hourly(self.ucsd("load_geisel_library", 2018)), _hourly(self.chinese_sun(1))
        side = _heat_side(heat, temperature)
        cases.append(_case("library, heat", library, sun, _tou(hours), EXPORT_PRICE, hours, 40.0, 1500, side))
        return tuple(cases)

    @cached_property
    def steel(self) -> Array:
        return 4.0 * self._read("steel_korea/steel_industry_15min.csv.gz").iloc[:, 1].to_numpy(dtype=float)

    def ucsd(self, name: str, year: int, column: str = "real_power_kw") -> Array:
        """Wall clock as recorded; what is not there is interpolated, 29 February left out."""
        frame = self._read(f"ucsd_microgrid/{name}_15min.csv.gz")
        series = pd.Series(frame[column].to_numpy(dtype=float), pd.to_datetime(frame["timestamp_local"]))
        series = series[~series.index.duplicated()]
        days = pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq="15min", inclusive="left")
        kept = days[~((days.month == 2) & (days.day == 29))]
        return series.reindex(kept).interpolate(limit_direction="both").to_numpy(dtype=float)

    def ucsd_sun(self, name: str, year: int) -> Array:
        made = np.clip(self.ucsd(f"pv_{name}", year), 0.0, None)
        return np.asarray(0.85 * made / np.quantile(made, 0.9995))

    def chinese_sun(self, which: int) -> Array:
        power = self._read("china_pv/solar_site1_50MW_15min.csv.gz")["power_mw"].to_numpy(dtype=float)
        return np.clip(power[which * QUARTERS :][:QUARTERS] / 50.0, 0.0, 1.0)

    def dutch_price(self, year: int) -> Array:
        """Day ahead [CNY/kWh]."""
        price = self._read("prices/nl_day_ahead_hourly.csv.gz").iloc[:, 3].to_numpy(dtype=float)
        return price[(year - 2021) * HOURS :][:HOURS] / 1000.0 * EUR

    def agile_price(self) -> Array:
        return (
            self._read("prices/gb_agile_import_east_hourly.csv.gz")["gbp_per_kwh"].to_numpy(dtype=float)[:HOURS] * GBP
        )

    def building(self, column: str, year: int) -> Array:
        frame = self._read("bdg2/electricity_hourly.csv.gz")
        times = pd.DatetimeIndex(pd.to_datetime(frame["timestamp"]))
        kept = (times.year == year) & ~((times.month == 2) & (times.day == 29))
        return frame[column][kept].interpolate().bfill().to_numpy(dtype=float).copy()

    def homes(self) -> tuple[Array, Array]:
        """Five homes together, and the sun of their roofs per kW."""
        frames = [self._read(f"citylearn_2022/phase_1/Building_{n}.csv.gz") for n in range(1, 6)]
        load = sum(frame["non_shiftable_load"].to_numpy(dtype=float) for frame in frames)
        sun = sum(frame["solar_generation"].to_numpy(dtype=float) for frame in frames)
        return np.asarray(load), np.asarray(sun) / 5000.0

    def homes_price(self) -> Array:
        return self._read("citylearn_2022/phase_1/pricing.csv.gz").iloc[:, 0].to_numpy(dtype=float) * USD

    def cambridge(self, name: str) -> tuple[Array, Array, Array, Array]:
        """2019: electricity [kW], heat of gas [kW], air [°C], sun per kW."""
        rows = slice(HOURS, 2 * HOURS)
        frame = self._read(f"cambridge/building_{name}_hourly.csv.gz").iloc[rows]
        weather = self._read("cambridge/weather_bedford_hourly.csv.gz").iloc[rows]
        sun = np.clip(weather["global_irradiance_wm2"].to_numpy(dtype=float) / 1000.0 * 0.85, 0.0, 1.0)
        electric, gas = (frame[column].to_numpy(dtype=float) for column in ("electricity_kwh", "gas_heating"))
        return electric, gas, weather["air_temperature_c"].to_numpy(dtype=float), sun

    def hot_water(self) -> tuple[Array, Array]:
        """Heat [kW] and air [°C] of a year of hours."""
        frame = self._read("hydronic_heating/building_127_hhw_hourly.csv.gz")
        heat, air = (frame[name].interpolate(limit_direction="both")[:HOURS] for name in ("hw", "t_out"))
        return np.clip(heat.to_numpy(dtype=float), 0.0, None) / 1000.0, air.to_numpy(dtype=float)

    def _read(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / name)


def _case(
    name: str, load: Array, sun: Array, price: Array | float, export: Array | float, times: pd.DatetimeIndex,
    demand: Array | float = DEMAND_PRICE, pv_kw: float = 2000, thermal: ThermalSide | None = None,
    import_limit_kw: float = np.inf, export_limit_kw: float = np.inf,
) -> Case:  # fmt: skip
    n, mean = len(load), float(load.mean())
    bought = np.maximum(np.broadcast_to(price, n).astype(float), 1e-3)
    sold = np.clip(np.minimum(np.broadcast_to(export, n).astype(float), 0.999 * bought), 0.0, None)
    month = np.asarray(times.month, dtype=np.int64) - 1
    peaks = PeakBilling(np.broadcast_to(demand, 12).astype(float), np.ones(n, dtype=bool))
    fed_kw = export_limit_kw if sold.max() > 0.0 else 0.0
    year = ParkYear(
        HOURS / n,
        load,
        sun,
        bought,
        sold,
        month,
        peaks,
        BatteryTraits(0.95, 0.95, 0.02),
        import_limit_kw,
        fed_kw,
        thermal,
    )
    twelve, twenty = annuity(INTEREST, 12), annuity(INTEREST, 20)
    offers = [Offer(900 * twelve, 24 * mean), Offer(300 * twelve, 6 * mean), Offer(3000 * twenty, pv_kw)]
    if thermal is not None:
        highest = float(thermal.demand_kw.max())
        offers += [Offer(60 * twenty, 24 * highest), Offer(4500 * twenty, highest / 1.8)]
    return Case(name, year, Offers(*offers))


def _heat_side(heat_kw: Array, air_c: Array) -> ThermalSide:
    """Gas at 0.45 per kWh of heat beside a heat pump by the outside air; a store that loses 0.5 % an hour."""
    return ThermalSide(heat_kw, np.clip(2.6 + 0.06 * air_c, 1.8, 4.5), 0.45, 0.005)


def _calendar(year: int, steps: int) -> pd.DatetimeIndex:
    times = pd.date_range(f"{year}-01-01", periods=steps + 96, freq="15min" if steps == QUARTERS else "h")
    return times[~((times.month == 2) & (times.day == 29))][:steps]


def _tou(times: pd.DatetimeIndex) -> Array:
    """Bands of a Chinese two-part tariff: valley, flat, peak, and the sharp hours of summer and winter."""
    by_hour = np.full(24, 0.70)
    by_hour[0:8] = 0.28
    by_hour[[10, 11, 14, 15, 16, 17, 18]] = 1.295
    price = by_hour[times.hour]
    price[np.isin(times.month, [7, 8]) & np.isin(times.hour, [10, 15, 16])] = 1.435
    price[np.isin(times.month, [1, 12]) & np.isin(times.hour, [17, 18])] = 1.435
    return price


def _californian(times: pd.DatetimeIndex) -> Array:
    """Southern California Edison TOU-EV-8 of June 2019."""
    hour, rest = np.asarray(times.hour), np.asarray(times.dayofweek) >= 5
    summer, peak = np.isin(times.month, [6, 7, 8, 9]), (hour >= 16) & (hour < 21)
    in_summer = np.where(peak, np.where(rest, 0.25563, 0.49619), 0.12597)
    in_winter = np.where(peak, 0.297, np.where((hour >= 8) & (hour < 16), 0.07724, 0.13568))
    return np.asarray(np.where(summer, in_summer, in_winter) * USD)


def _hourly(quarters: Array) -> Array:
    return quarters.reshape(-1, 4).mean(axis=1)
