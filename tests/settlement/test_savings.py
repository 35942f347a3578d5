"""Measurement and verification: uncertainty, regression, counterfactual, attribution (RULES 6.2, TV-25 to TV-28)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.situation import Session
from settlement.attribution import sequential, shapley
from settlement.counterfactual import columns_of, removed, without
from settlement.regression import daily, fitted, restored_kw
from settlement.uncertainty import (
    fit_of,
    fractional_uncertainty,
    independent_points,
    inflation,
    is_determined,
    t_value,
    uncertainty_of,
)
from settlement.utility_bill import utility_bill
from site_configs.custom_tariff import CustomTariff
from site_configs.site import OwnTariff, Site
from site_configs.tariff import calendar_of

Local = Callable[[str], datetime]
FlowsOf = Callable[..., pd.DataFrame]


@pytest.mark.parametrize(
    ("autocorrelation", "t", "expected"),
    [(0.0, 1.645, 0.04430), (0.8, 1.645, 0.13301), (0.8, 1.0, 0.08086)],
)
def test_hourly_uncertainty_with_and_without_autocorrelation(autocorrelation: float, t: float, expected: float) -> None:
    """TV-25: 8760 hours before and after, CV(RMSE) 20 %, 10 % saved."""
    independent = independent_points(8760, autocorrelation)
    found = fractional_uncertainty(0.20, 0.10, 8760, independent, 8760, t, inflation("hourly", 12))
    assert found == pytest.approx(expected, abs=5e-6)
    if autocorrelation:
        assert independent == pytest.approx(973.33, abs=0.005)


def test_monthly_uncertainty_fails_even_with_a_good_fit() -> None:
    """TV-26: 12 months before and after, 2 parameters."""
    a, t = inflation("monthly", 12), t_value(0.90, 10)
    assert a == pytest.approx(1.30558, abs=1e-9)
    assert t == pytest.approx(1.8125, abs=5e-5)
    assert fractional_uncertainty(0.08, 0.10, 12, 12, 12, t, a) == pytest.approx(0.5903, abs=5e-5)
    fit = replace(fit_of(np.arange(1.0, 13.0), np.arange(1.0, 13.0), 2, "monthly"), cv_rmse=0.08)
    assert uncertainty_of(fit, 0.10, 12, 12, 0.90) == pytest.approx(0.5903, abs=5e-5)
    assert is_determined(fit, 0.10, 12, 12)  # at 68 % confidence it is 33 %
    assert not is_determined(fit, 0.05, 12, 12)


def test_fit_counts_its_parameters() -> None:
    measured, modelled = np.array([10.0, 12.0, 8.0, 10.0]), np.array([10.0, 11.0, 9.0, 10.0])
    fit = fit_of(measured, modelled, 2, "monthly")
    assert fit.cv_rmse == pytest.approx(1.0 / 10.0)  # sqrt((1 + 1) / 2)
    assert fit.nmbe == 0
    assert fit.within_limits
    assert not fit_of(measured, modelled + 1.0, 2, "monthly").within_limits
    with pytest.raises(ValueError, match="do not determine"):
        fit_of(measured, modelled, 4, "monthly")


HOURS = {"valley": "00:00-06:00", "flat": "06:00-12:00", "peak": "12:00-18:00", "sharp": "18:00-24:00"}
PRICES = {"sharp": 1.435, "peak": 1.295, "flat": 0.70, "valley": 0.28}


@pytest.fixture(scope="module")
def tv27_site(site: Site) -> Site:
    """The park under the prices of TV-27, a quarter of the day in each band."""
    bands = {name: {"price_per_kwh": PRICES[name], "hours": [hours]} for name, hours in HOURS.items()}
    seasons = [{"name": "all", "months": list(range(1, 13)), "days": [{"bands": bands}]}]
    demand = [{"id": "demand", "price_per_kw": 40.8}]
    terms = {"name": "TV-27", "effective_from": "2026-01-01", "seasons": seasons, "demand": demand}
    return site.model_copy(update={"tariff": OwnTariff(custom=CustomTariff.model_validate(terms))})


@pytest.fixture(scope="module")
def june(local: Local) -> tuple[datetime, datetime]:
    return local("2026-06-01 00:00"), local("2026-07-01 00:00")


def month_of(
    site: Site, june: tuple[datetime, datetime], kwh: dict[str, float], peak: tuple[str, float]
) -> pd.DataFrame:
    """A month with so much energy in each band, even but for one quarter hour with the month's peak."""
    index = pd.date_range(*june, freq="15min", inclusive="left", name="time")
    quarter = pd.DatetimeIndex(index).tz_convert(site.timezone).hour.to_numpy() // 6
    kw = np.zeros(len(index))
    for n, band in enumerate(HOURS):
        places = np.flatnonzero(quarter == n)
        energy, count = kwh[band] * 4, len(places)
        if band == peak[0]:
            kw[places[0]], places = peak[1], places[1:]
            energy, count = energy - peak[1], count - 1
        kw[places] = energy / count
    return pd.DataFrame({"import_kw": kw, "export_kw": 0.0}, index=index)


def test_savings_are_bill_minus_bill_with_their_negative_parts(
    tv27_site: Site, june: tuple[datetime, datetime]
) -> None:
    """TV-27: storage moves energy into the valley, where it sets a higher demand."""
    gross = {"sharp": 60_000.0, "peak": 80_000.0, "flat": 100_000.0, "valley": 160_000.0}
    net = {"sharp": 40_000.0, "peak": 65_000.0, "flat": 101_000.0, "valley": 201_000.0}
    before = month_of(tv27_site, june, gross, ("valley", 1200.0))
    after = month_of(tv27_site, june, net, ("valley", 1350.0))
    moved = before["import_kw"] - after["import_kw"]
    battery = pd.DataFrame(
        {"battery1.charge_kw": np.maximum(-moved, 0), "battery1.discharge_kw": np.maximum(moved, 0)}, index=after.index
    )
    restored = without(after, [removed(tv27_site, "storage", {"battery1"}, battery, ())])
    bills = [utility_bill(tv27_site, flows, june) for flows in (restored, after)]
    energy = [found.of("energy") for found in bills]
    demand = [found.of("demand") for found in bills]
    assert energy == [Decimal("304500.00"), Decimal("268555.00")]
    assert demand == [Decimal("48960.00"), Decimal("55080.00")]
    assert energy[0] - energy[1] == Decimal("35945.00")
    assert demand[0] - demand[1] == Decimal("-6120.00")
    assert bills[0].total - bills[1].total == Decimal("29825.00")


def test_shapley_of_two_measures() -> None:
    """TV-28."""
    alone = {frozenset[str](): 0, frozenset({"pv"}): 100, frozenset({"bess"}): 80, frozenset({"pv", "bess"}): 150}
    value = {measures: Decimal(saved) for measures, saved in alone.items()}
    assert shapley(["pv", "bess"], value.__getitem__) == {"pv": Decimal(85), "bess": Decimal(65)}
    assert sequential(["pv", "bess"], value.__getitem__) == {"pv": Decimal(100), "bess": Decimal(50)}
    assert sequential(["bess", "pv"], value.__getitem__) == {"bess": Decimal(80), "pv": Decimal(70)}


@given(st.lists(st.decimals(-500, 500, places=2), min_size=8, max_size=8))
def test_attributed_savings_add_up(values: list[Decimal]) -> None:
    names = ["a", "b", "c"]
    by_set = {frozenset(n for bit, n in enumerate(names) if key >> bit & 1): values[key] for key in range(1, 8)}
    by_set[frozenset()] = Decimal(0)
    for split in (shapley, sequential):
        assert sum(split(names, by_set.__getitem__).values()) == by_set[frozenset(names)]


def test_pv_that_fed_the_grid_is_import_without_it(
    site: Site, june: tuple[datetime, datetime], constant: FlowsOf
) -> None:
    flows = constant(*june, import_kw=0.0, export_kw=120.0, reactive_kvar=300.0, **{"pv1.used_kw": 420.0})
    assert columns_of(site, {"pv1"}) == {"pv1.used_kw": True}
    found = without(flows, [removed(site, "pv", {"pv1"}, flows, ())])
    assert (found["import_kw"] == 300.0).all()
    assert (found["export_kw"] == 0.0).all()
    assert (found["reactive_kvar"] == 300.0).all()
    assert without(flows, []) is flows


def test_a_car_without_v2g_takes_the_same_energy(
    site: Site, june: tuple[datetime, datetime], constant: FlowsOf
) -> None:
    """It fed back 10 kWh and took 10/0.95² kWh more for it at the end of its stay."""
    flows = constant(*june, import_kw=100.0)
    charge, discharge = np.zeros(len(flows)), np.zeros(len(flows))
    discharge[8:12] = 10.0
    charge[4:8], charge[20:26] = 16.0, 10.0
    meters = flows.assign(**{"ev01.charge_kw": charge, "ev01.discharge_kw": discharge})
    arrive = june[0] + timedelta(minutes=50)
    car = Session("s", "ev01", arrive, arrive + timedelta(hours=8), 20.0, 10.0, 60.0)
    stream = removed(site, "v2g", {"ev01"}, meters, [car])
    replaced = 10.0 / 0.95**2
    assert stream.kw.sum() / 4 == pytest.approx(10.0 - replaced)
    assert (stream.kw[8:12] == 10.0).all()
    assert stream.kw[26:].any() == False  # noqa: E712
    assert stream.kw[4:8] == pytest.approx([0.0] * 4)  # what was charged before is untouched
    assert (stream.kw[22:26] == -10.0).all()


def test_a_cold_store_is_taken_away_at_the_chillers_mean_power(
    site: Site, june: tuple[datetime, datetime], constant: FlowsOf
) -> None:
    chillers = {f"chiller{n}.{q}": kw for n in (1, 2) for q, kw in (("power_kw", 20.0), ("cold_kw", 100.0))}
    flows = constant(
        *june, import_kw=100.0, **chillers, **{"cold_store.charge_kw": 0.0, "cold_store.discharge_kw": 50.0}
    )
    stream = removed(site, "cold", {"cold_store"}, flows, ())
    assert stream.kw == pytest.approx(np.full(len(flows), 10.0))


@pytest.fixture(scope="module")
def year(site: Site) -> tuple[pd.Series, pd.Series]:
    """A load that cools above 20 °C at 30 kWh/K and day, with 400 kWh more on worked days, and noise of 2 %."""
    index = pd.date_range("2025-01-01T00:00+08:00", "2026-01-01T00:00+08:00", freq="1h", inclusive="left").tz_convert(
        "UTC"
    )
    local = index.tz_convert(site.timezone)
    temperature = 15 - 12 * np.cos(2 * np.pi * (local.day_of_year.to_numpy() - 20) / 365)
    working = np.array([calendar_of(site).is_working(day) for day in local.date])
    noise = np.repeat(np.random.default_rng(5).normal(0, 40, 365), 24)
    kwh = 2000 + 400 * working + 30 * np.maximum(0, temperature - 20) + noise
    return pd.Series(kwh / 24, index), pd.Series(temperature, index)


def test_the_regression_finds_cooling_and_worked_days(site: Site, year: tuple[pd.Series, pd.Series]) -> None:
    model = fitted(daily(*year, site, calendar_of(site)))
    assert model.form.cooling_c == 20
    assert model.form.heating_c is None
    assert model.coefficients == pytest.approx((2000, 400, 30), rel=0.1)
    assert model.fit.within_limits
    assert model.fit.parameters == 4
    assert model.fit.cv_rmse == pytest.approx(40 / 2350, rel=0.15)


def test_saved_load_is_restored_day_by_day(site: Site, year: tuple[pd.Series, pd.Series]) -> None:
    load, temperature = year
    model = fitted(daily(load, temperature, site, calendar_of(site)))
    july = load.loc["2025-06-30T16:00Z":"2025-07-31T15:00Z"] * 0.8
    days = daily(july, temperature.loc[july.index], site, calendar_of(site))
    assert list(days.index[[0, -1]]) == [date(2025, 7, 1), date(2025, 7, 31)]
    adjusted = dict(zip(days.index, model.energy_kwh(days), strict=True))
    restored = restored_kw(july, adjusted, site)
    assert restored.sum() == pytest.approx(sum(adjusted.values()) - july.sum())
    assert restored.sum() / (july.sum() / 0.8) == pytest.approx(0.2, abs=0.01)
    assert uncertainty_of(model.fit, 0.2, 31, 1, 0.9) < 0.1


def test_too_short_a_baseline_is_refused(site: Site, year: tuple[pd.Series, pd.Series]) -> None:
    load, temperature = year
    with pytest.raises(ValueError, match="at least 28 whole days"):
        fitted(daily(load.iloc[: 24 * 20], temperature.iloc[: 24 * 20], site, calendar_of(site)))
