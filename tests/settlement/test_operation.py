"""Gas, fuel, wear, starts and carbon of measured flows, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from optimizer.devices import BackupGenerator, Battery, Chp, GasBoiler, GasSupply, V2gCharger
from settlement.operation import operating_items

START = datetime(2026, 8, 25, 16, tzinfo=UTC)
PERIOD = (START, START + timedelta(hours=2))
DEVICES = (
    GasSupply(id="gas", supply_limit_kw=1e6, price_per_nm3=3.77, carbon_price_per_kg=0.07364),
    BackupGenerator(id="diesel", power_limit_kw=100, fuel_cost_per_kwh=2.4),
    Battery(id="battery1", capacity_kwh=200, charge_limit_kw=80, discharge_limit_kw=80, wear_cost_per_kwh=0.1481),
    V2gCharger(id="ev01", charge_limit_kw=20, discharge_limit_kw=20),
    Chp(id="chp1", power_limit_kw=100, start_cost=200),
    GasBoiler(id="boiler1", heat_limit_kw=100),
)


def measured(**kw: list[float]) -> pd.DataFrame:
    columns = dict.fromkeys(
        ("gas.supply_kw", "diesel.power_kw", "battery1.discharge_kw", "ev01.discharge_kw", "chp1.power_kw"), [0.0] * 8
    )
    given = {name.replace("__", "."): values for name, values in kw.items()}
    return pd.DataFrame({**columns, **given}, index=pd.date_range(*PERIOD, freq="15min", inclusive="left"))


def costs(flows: pd.DataFrame, *running: str) -> dict[tuple[str, str], Decimal]:
    return {(item.name, item.device): item.cost for item in operating_items(DEVICES, flows, PERIOD, running)}


def test_tv30_a_month_of_gas() -> None:
    """40 000 Nm3 at 3.77; by TV-30 and TV-29 they emit 86.488 t, here priced at 73.64 per tonne."""
    items = operating_items(DEVICES, measured(gas__supply_kw=[40_000 * 10.814 / 2] * 8), PERIOD)
    gas, carbon = (item for item in items if item.device == "gas")
    assert (gas.unit, carbon.unit) == ("Nm3", "kg")
    assert gas.amount == pytest.approx(40_000)
    assert carbon.amount == pytest.approx(86_488)
    assert gas.cost == Decimal("150800.00")
    assert carbon.cost == Decimal("6368.98")


def test_wear_and_fuel_by_energy() -> None:
    found = costs(measured(battery1__discharge_kw=[80.0] * 4 + [0.0] * 4, ev01__discharge_kw=[10.0] * 8))
    assert found["wear", "battery1"] == Decimal("11.85")  # 80 kWh at 0.1481
    assert found["wear", "ev01"] == Decimal("7.00")  # 20 kWh at 0.35
    assert costs(measured(diesel__power_kw=[50.0] * 8))["fuel", "diesel"] == Decimal("240.00")


def test_carbon_is_an_item_only_where_it_has_a_price() -> None:
    names = {(item.name, item.device) for item in operating_items(DEVICES, measured(), PERIOD)}
    assert ("carbon", "gas") in names
    assert ("carbon", "diesel") not in names
    assert "boiler1" not in {device for _, device in names}


@pytest.mark.parametrize(
    ("power", "running", "starts"),
    [
        ([0, 0, 60, 80, 0, 0, 50, 50], (), 2),
        ([60, 60, 0, 0, 0, 0, 0, 0], (), 1),
        ([60, 60, 0, 0, 0, 0, 0, 60], ("chp1",), 1),
        ([0] * 8, ("chp1",), 0),
    ],
)
def test_starts_are_counted(power: list[float], running: tuple[str, ...], starts: int) -> None:
    found = costs(measured(chp1__power_kw=list(np.asarray(power, dtype=float))), *running)
    assert found["start", "chp1"] == 200 * starts


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"gas\.supply_kw"):
        operating_items(DEVICES, measured().drop(columns="gas.supply_kw"), PERIOD)
