"""Demand response as it is settled: TV-10, TV-11, TV-12, day selection, imputed samples."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.events import DemandResponseEvent
from optimizer.services.demand_response import PAY_RULES, PayRule, pay_per_hour
from settlement.demand_response import Days, highest_of_days, just_before, last_normal_days, paid_and_missing_kw, settle
from site_configs.calendar import Calendar

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = date(2026, 8, 26)  # a Wednesday
START = datetime(2026, 8, 26, 14, tzinfo=SHANGHAI).astimezone(UTC)
END = START + timedelta(hours=2)
ZHEJIANG, SICHUAN, GUANGDONG = PAY_RULES["zhejiang"], PAY_RULES["sichuan"], PAY_RULES["guangdong"]
DAYS = Days(Calendar(), SHANGHAI)


def history(by_day: dict[date, float], *, otherwise: float = 500.0, days: int = 40) -> pd.Series:
    """Quarter hours of a flat import by local day up to the event, which itself stands at `otherwise`."""
    index = pd.date_range(START - timedelta(days=days), END, freq="15min", inclusive="left", name="time")
    local = index.tz_convert(SHANGHAI)
    return pd.Series([by_day.get(at.date(), otherwise) for at in local], index, dtype=float)


def working_days(count: int, skip: tuple[date, ...] = ()) -> list[date]:
    days = [DAY - timedelta(days=n) for n in range(1, 40)]
    return [d for d in days if Calendar().is_working(d) and d not in skip][:count]


def event(**given: object) -> DemandResponseEvent:
    usual = {"baseline_kw": (1010.0,) * 8, "bid_kw": 240.0, "price_per_kwh": 4.0, **given}
    return DemandResponseEvent("call1", "response", START, END, **usual)


def metered(kw: float, hours: float = 2.0) -> pd.Series:
    index = pd.date_range(START, periods=round(hours * 4), freq="15min", name="time")
    return pd.Series(kw, index, dtype=float)


def test_tv_10_the_mean_of_five_working_days_and_the_band() -> None:
    """1000, 1040, 980, 1020, 1010 kW -> 1010; 760 kW for 2 h is 500 kWh at 4.00; 842 kW is 70 % of the bid: nothing."""
    means = dict(zip(working_days(5), [1000.0, 1040.0, 980.0, 1020.0, 1010.0], strict=True))
    baseline = last_normal_days(history(means), START, END, DAYS)
    assert baseline.kw == (1010.0,) * 8
    assert baseline.days == tuple(working_days(5))
    called = baseline.given_to(event(baseline_kw=()))
    kept = settle(called, metered(760.0), ZHEJIANG)
    assert kept.lines[0].response_kw == Decimal(250)
    assert (kept.paid, kept.penalty) == (Decimal("2000.00"), Decimal(0))
    missed = settle(called, metered(842.0), ZHEJIANG)
    assert missed.lines[0].response_kw == Decimal(168)
    assert missed.paid == Decimal(0)


def test_the_band_pays_no_more_than_120_percent() -> None:
    """1010 - 600 = 410 kW; 1.2 x 240 = 288 kW x 2 h x 4.00 = 2304."""
    assert settle(event(), metered(600.0), ZHEJIANG).paid == Decimal("2304.00")


def test_tv_11_sichuan() -> None:
    paid, _ = paid_and_missing_kw(SICHUAN, Decimal(240), Decimal(300))
    assert paid == Decimal(282)
    one_hour = DemandResponseEvent("c", "r", START, START + timedelta(hours=1), 240.0, 3.0, (1000.0,) * 4)
    statement = settle(one_hour, metered(800.0, 1.0), SICHUAN)
    assert (statement.paid, statement.penalty, statement.net) == (
        Decimal("600.00"),
        Decimal("52.80"),
        Decimal("547.20"),
    )


def test_tv_12_guangdong() -> None:
    one_hour = DemandResponseEvent("c", "r", START, START + timedelta(hours=1), 1000.0, 2.0, (1500.0,) * 4)
    statement = settle(one_hour, metered(1200.0, 1.0), GUANGDONG)
    assert statement.lines[0].response_kw == Decimal(300)
    assert statement.penalty == Decimal("200.00")


def test_a_power_commitment_is_settled_interval_by_interval() -> None:
    """Four quarter hours at 100 % and four at 70 % of the bid: the mean is in the band, half of the steps are not."""
    imports = metered(770.0)
    imports.iloc[4:] = 842.0
    assert settle(event(), imports, ZHEJIANG, "energy").paid == Decimal("1632.00")  # 204 kW x 2 h x 4.00
    assert settle(event(), imports, ZHEJIANG, "power").paid == Decimal("960.00")  # 240 kW x 1 h x 4.00


def test_more_import_than_the_baseline_is_no_response() -> None:
    statement = settle(event(), metered(1100.0), SICHUAN)
    assert statement.lines[0].response_kw == Decimal(0)
    assert statement.paid == Decimal(0)
    assert statement.penalty == Decimal("1900.80")  # 0.9 x 240 kW x 2 h x 1.1 x 4.00


def test_a_valley_fill_is_paid_for_more_import() -> None:
    fill = event(direction="fill")
    assert settle(fill, metered(1260.0), ZHEJIANG).paid == Decimal("2000.00")
    assert settle(fill, metered(760.0), ZHEJIANG).paid == Decimal(0)


def test_missing_samples_are_no_response_and_never_no_load() -> None:
    """Half of the samples missing: 250 kW in one of two hours is a mean of 125 kW."""
    imports = metered(760.0)
    imports.iloc[:2] = np.nan
    statement = settle(event(), imports.drop(imports.index[2:4]), SICHUAN)
    assert statement.imputed == 4
    assert statement.lines[0].response_kw == Decimal(125)


def test_days_that_are_not_normal_are_passed_over_with_the_reason() -> None:
    event_day, outage, gap = working_days(3)
    imports = history({})
    local = imports.index.tz_convert(SHANGHAI)
    imports[[at.date() == gap and at.hour < 3 for at in local]] = np.nan  # 12 of 96 samples
    days = Days(Calendar(), SHANGHAI, event_days={event_day}, outages={outage})
    baseline = last_normal_days(imports, START, END, days)
    assert baseline.days == tuple(working_days(5, skip=(event_day, outage, gap)))
    reasons = dict(baseline.skipped)
    assert reasons[event_day] == "day of an event"
    assert reasons[outage] == "outage"
    assert reasons[gap] == "only 88% measured"
    assert reasons[date(2026, 8, 23)] == "no working day"


def test_holidays_and_make_up_days_count_as_the_published_list_says() -> None:
    """After the National Day week 2026 (1 to 7 October); Saturday 10 October is worked."""
    start = datetime(2026, 10, 12, 14, tzinfo=SHANGHAI).astimezone(UTC)
    index = pd.date_range(start - timedelta(days=30), start, freq="15min")
    baseline = last_normal_days(pd.Series(1.0, index), start, start + timedelta(hours=1), DAYS)
    assert baseline.days == (
        date(2026, 10, 10),
        date(2026, 10, 9),
        date(2026, 10, 8),
        date(2026, 9, 30),
        date(2026, 9, 29),
    )


def test_too_few_normal_days_are_an_error_that_says_how_many() -> None:
    with pytest.raises(ValueError, match="2 of 5 normal days"):
        last_normal_days(history({}, days=3), START, END, DAYS)


def test_beijing_takes_the_five_highest_of_ten() -> None:
    """Ten normal days from the day before yesterday back at 100, 200 ... 1000 kW: the mean of 600 to 1000 is 800."""
    ten = [d for d in working_days(11) if d <= DAY - timedelta(days=2)][:10]
    means = {d: 100.0 * (n + 1) for n, d in enumerate(ten)}
    baseline = highest_of_days(history(means), START, END, DAYS)
    assert baseline.kw == (800.0,) * 8
    assert set(baseline.days) == set(ten[5:])
    assert DAY - timedelta(days=1) not in baseline.days


def test_the_quarter_hour_before_is_the_baseline_in_real_time() -> None:
    imports = history({}, otherwise=500.0)
    imports.loc[START - timedelta(minutes=15)] = 730.0
    assert just_before(imports, START, END).kw == (730.0,) * 8
    imports.loc[START - timedelta(minutes=15)] = np.nan
    with pytest.raises(ValueError, match="no baseline"):
        just_before(imports, START, END)


def test_the_baseline_is_taken_block_by_block() -> None:
    imports = history({})
    local = imports.index.tz_convert(SHANGHAI)
    imports[[at.hour == 14 for at in local]] = 900.0
    assert last_normal_days(imports, START, END, DAYS).kw == (900.0,) * 4 + (500.0,) * 4


@given(
    bid=st.integers(1, 2000), response=st.integers(0, 4000), price=st.integers(0, 600),
    rule=st.sampled_from([ZHEJIANG, SICHUAN, GUANGDONG, PayRule(floor=0.5, cap=1.5, beyond=0.2)]),
)  # fmt: skip
def test_what_the_plan_reckons_is_what_is_settled(bid: int, response: int, price: int, rule: PayRule) -> None:
    paid, penalty = pay_per_hour(rule, float(bid), float(response), price / 100)
    kw, missing = paid_and_missing_kw(rule, Decimal(bid), Decimal(response))
    assert paid == pytest.approx(float(kw) * price / 100, abs=1e-6)
    assert penalty == pytest.approx(float(missing) * rule.penalty_price * price / 100, abs=1e-6)
