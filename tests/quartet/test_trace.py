"""`quartet trace` and `quartet carbon`: from each line to the meter rows, plans and setpoints behind it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from quartet.settling import SettledMonth, settled_month
from quartet.tracing import trace_of_bill
from settlement.trace import energy_of, trace_line
from site_configs.history import sample_folder
from site_configs.loader import load_site
from streams.decision import safe_decision
from streams.ledger import Ledger
from streams.records import Answer
from streams.site_state import SiteState

CONTRACT = sample_folder("jiashan_park") / "contract.yaml"
AT = datetime.fromisoformat("2026-07-15T10:15:00+00:00")
"""In the sharp band of a July day."""


@pytest.fixture(scope="module")
def settled(metered: Path) -> SettledMonth:
    return settled_month(load_site("jiashan_park"), metered, "2026-07")


def test_rows_add_up_to_every_energy_line(settled: SettledMonth) -> None:
    for line in settled.bill().lines:
        trace = trace_line(settled.site, line, settled.flows, settled.period)
        if line.unit == "kWh":
            assert energy_of(trace) == line.quantity
        if line.unit == "kW":
            assert trace.rows["import_kw"].mean() == pytest.approx(float(line.quantity), abs=1e-6)


def test_a_band_has_the_intervals_of_its_hours(settled: SettledMonth) -> None:
    document = trace_of_bill(settled, "main/purchase/sharp/20260630T1600Z")
    local = [row.time.astimezone(settled.site.zone) for row in document.rows]
    assert len(local) == 31 * 16
    assert {at.hour for at in local} == {18, 19, 20, 21}
    assert document.energy_kwh == sum((Decimal(str(round(row.values["kwh"], 6))) for row in document.rows), Decimal(0))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The engine's ledger with one answer, at `AT`."""
    site = load_site("jiashan_park")
    decision = safe_decision(site, SiteState(site.id, AT, {}, {}), "test")
    answer = Answer(
        site.id, AT, (), decision.forecast_id, decision.forecasts, decision.plan.plan_id, "rules", decision.plan_hash,
        decision.plan_document, decision.situation, decision.setpoints, 0, 1,
    )  # fmt: skip
    with Ledger(tmp_path / "ledger.db") as opened:
        opened.record(answer)
    return tmp_path / "ledger.db"


def test_a_ledger_adds_plans_and_setpoints(quartet, metered: Path, ledger: Path) -> None:
    line, where = "main/purchase/sharp/20260630T1600Z", ["jiashan_park", "--data", str(metered)]
    ran = quartet("trace", line, *where, "--ledger", str(ledger), "--json")
    assert ran.code == 0, ran.err
    setpoints = ran.json["setpoints"]
    assert {setpoint["interval"] for setpoint in setpoints} == {"2026-07-15T10:15:00Z"}
    assert "battery1" in {setpoint["device"] for setpoint in setpoints}
    assert all(setpoint["plan_hash"] for setpoint in setpoints)
    other = quartet("trace", line.replace("sharp", "valley"), *where, "--ledger", str(ledger), "--json")
    assert other.json["setpoints"] == []


@pytest.mark.parametrize("line", ["stream/storage/2026-07", "payment/2/2026-07"])
def test_a_streams_saving_shows_both_draws(quartet, metered: Path, line: str) -> None:
    ran = quartet("trace", line, "jiashan_park", "--data", str(metered), "--contract", str(CONTRACT), "--json")
    assert ran.code == 0, ran.err
    rows = ran.json["rows"]
    assert len(rows) == 2976
    assert "24785.34" in ran.json["formula"]
    stored = sum(row["values"]["stream_kw"] for row in rows) / 4
    assert stored == pytest.approx(-3297.09, abs=0.01)  # the stores' losses
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert times[1] - times[0] == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("main/purchase/sharp",), "ids look like"),
        (("main/purchase/dusk/20260630T1600Z",), "the bill of 2026-07 has main/purchase/sharp"),
        (("stream/storage/2026-07",), "give the contract's file"),
        (("stream/wind/2026-07", "--contract", str(CONTRACT)), "the statement has stream/pv/2026-07"),
        (("payment/99/2026-07", "--contract", str(CONTRACT)), "the statement has payment/1/2026-07"),
        (("main/purchase/sharp/20260630T1600Z", "--ledger", "none.db"), "give the ledger of the engine's run"),
    ],
)
def test_what_is_no_line_is_refused(quartet, metered: Path, arguments: tuple[str, ...], said: str) -> None:
    line, *options = arguments
    ran = quartet("trace", line, "jiashan_park", "--data", str(metered), *options)
    assert ran.code == 2
    assert said in ran.err


def test_people_read_rows(quartet, metered: Path) -> None:
    ran = quartet("trace", "main/actual_demand/-/20260630T1600Z", "jiashan_park", "--data", str(metered))
    assert ran.code == 0
    assert "831.9148" in ran.out


def test_the_carbon_of_a_month_with_its_exports(quartet, metered: Path, tmp_path: Path) -> None:
    inventory = {
        "blocks": [{"kind": "GEC", "prefix": "G", "first": 1, "count": 100, "acquired": "2026-07-01", "price": 4.2,
                    "document": "t"}],
        "retired": [{"kind": "GEC", "prefix": "G", "first": 1, "count": 100, "month": "2026-07",
                     "retired": "2026-08-01", "document": "r"}],
        "quotas": [{"year": 2026, "tonnes": 1200, "price_per_tonne": 60, "document": "q"}],
        "lines": [{"id": "shop", "name_zh": "车间", "name_en": "shop", "columns": ["load.served_kw"],
                   "product": "parts", "tonnes": {"2026-07": 500}}],
    }  # fmt: skip
    file = tmp_path / "carbon.yaml"
    dated = yaml.safe_dump(inventory).replace("'2026-07-01'", "2026-07-01").replace("'2026-08-01'", "2026-08-01")
    file.write_text(dated)
    where = ["carbon", "jiashan_park", "--data", str(metered), "--month", "2026-07", "--inventory", str(file)]
    ran = quartet(*where, "--out", str(tmp_path / "out"), "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    bought = 445_100.372336
    assert found["location_kg"] == pytest.approx(bought * 0.4974)
    assert found["market_kg"] == pytest.approx((bought - 100_000) * 0.6096)
    assert found["quota"]["gap_t"] == pytest.approx(bought * 0.4974 / 1000 - 100, abs=1e-5)
    assert set(found["exports"]) == {"iso14064", "iso14067", "cbam", "esg"}
    written = {path.name.removeprefix("jiashan_park-2026-07-") for path in (tmp_path / "out").iterdir()}
    assert written == {"carbon.json", "iso14064.csv", "iso14067.csv", "cbam.csv", "esg.csv", "shop-hourly.csv"}
    shown = quartet(*where)
    assert "location-based" in shown.out
