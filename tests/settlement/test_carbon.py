"""Emissions of imported electricity and use of the PV energy (RULES 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pandas as pd
import pytest

from optimizer.devices import GasSupply
from settlement.carbon import carbon, emitted_today_kg, pv_use
from site_configs.site import Site

Local = Callable[[str], datetime]
FlowsOf = Callable[..., pd.DataFrame]


def test_tv27_storage_losses_raise_emissions(site: Site, local: Local, constant: FlowsOf) -> None:
    period = (local("2026-08-26 00:00"), local("2026-08-26 10:00"))
    statement = carbon(site, constant(*period, import_kw=700.0), period)
    assert (statement.import_kwh, statement.kg) == (7000, Decimal("3481.8"))
    assert (statement.factor.region, statement.factor.data_year) == ("zhejiang", 2023)
    assert statement.factor.document == "公告2025年第47号"


def test_the_site_chooses_the_year_of_the_data(site: Site, local: Local, constant: FlowsOf) -> None:
    period = (local("2026-08-26 00:00"), local("2026-08-26 10:00"))
    older = site.model_copy(update={"carbon": site.carbon.model_copy(update={"data_year": 2022})})
    assert carbon(older, constant(*period, import_kw=100.0), period).kg == Decimal("515.3")


def test_pv_use_of_a_day(local: Local) -> None:
    period = (local("2026-08-26 12:00"), local("2026-08-26 13:00"))
    index = pd.date_range(*period, freq="15min", inclusive="left")
    flows = pd.DataFrame(
        {"pv_kw": [400, 400, 0, 200], "import_kw": [0, 100, 500, 300], "export_kw": [100, 0, 40, 0]}, index=index
    )
    use = pv_use(flows, period)
    assert (use.pv_kwh, use.self_used_kwh, use.consumption_kwh) == (250.0, 225.0, 440.0)
    assert use.self_use == pytest.approx(0.9)
    assert use.self_sufficiency == pytest.approx(225 / 440)


def test_a_night_has_no_ratio(local: Local, constant: FlowsOf) -> None:
    period = (local("2026-08-26 00:00"), local("2026-08-26 04:00"))
    use = pv_use(constant(*period, import_kw=0.0, pv_kw=0.0), period)
    assert use.self_use is None
    assert use.self_sufficiency is None


def test_what_was_emitted_today_counts_import_and_fuel_from_local_midnight(site: Site, local: Local) -> None:
    """Two hours of 400 kW import and 108.14 kW of gas: 800 kWh x 0.4974 and 20 Nm3 x 2.1622; yesterday is not in it."""
    gas = GasSupply(id="gas", supply_limit_kw=500.0, price_per_nm3=3.77)
    burning = site.model_copy(update={"devices": (*site.devices, gas)})
    index = pd.date_range(local("2026-08-25 20:00"), local("2026-08-26 03:00"), freq="15min", inclusive="left")
    measured = pd.DataFrame({"meter.import_kw": 400.0, "gas.supply_kw": 108.14}, index=index)
    measured.iloc[-12:-8] = float("nan")  # the first hour of the day was not measured
    kg = emitted_today_kg(burning, measured, local("2026-08-26 03:00"), 15)
    assert kg == pytest.approx(800 * 0.4974 + 20 * 2.1622)
    assert emitted_today_kg(burning, measured, local("2026-08-26 00:00"), 15) == 0.0
