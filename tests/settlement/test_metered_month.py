"""Coverage, substitution and refusal of a month's meters (RULES 6.1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optimizer.errors import InputError
from settlement.metered_month import metered_month
from site_configs.history import read_history, write_history
from site_configs.site import Site

Local = Callable[[str], datetime]


@pytest.fixture
def period(local: Local) -> tuple[datetime, datetime]:
    return local("2026-07-01 00:00"), local("2026-08-01 00:00")


@pytest.fixture
def meter(site: Site, period: tuple[datetime, datetime]) -> pd.DataFrame:
    """Worked days draw 100 kW more than others, and each hour 1 kW more than the one before."""
    index = pd.date_range(*period, freq="15min", inclusive="left", name="time")
    local = index.tz_convert(site.timezone)
    kw = 500.0 + local.hour.to_numpy() + np.where(local.day_of_week < 5, 100.0, 0.0)
    return pd.DataFrame({"meter.import_kw": kw}, index=index)


def read(folder: Path, frame: pd.DataFrame):
    write_history(folder, frame)
    return read_history(folder)


def test_missing_values_are_filled_by_rule_and_counted(tmp_path: Path, site: Site, meter, period) -> None:
    expected = meter["meter.import_kw"].copy()
    meter.iloc[40:42] = np.nan  # 10:00 to 10:30 of a Wednesday
    meter.iloc[96 * 3 : 96 * 3 + 24] = np.nan  # six hours of Saturday 4 July
    month = metered_month(read(tmp_path, meter), site, period, ["meter.import_kw"])
    assert [(gap.rule, gap.intervals) for gap in month.gaps] == [("interpolated", 2), ("like_days", 24)]
    assert month.gaps[1].end - month.gaps[1].start == timedelta(hours=6)
    assert month.coverage == pytest.approx(1 - 26 / 2976)
    assert month.grade() == "final"
    filled = month.frame["meter.import_kw"]
    assert filled.iloc[96 * 3 : 96 * 3 + 24].to_numpy() == pytest.approx(expected.iloc[96 * 3 : 96 * 3 + 24].to_numpy())
    assert np.isfinite(filled).all()


def test_rows_off_the_months_grid_are_refused_as_such(tmp_path: Path, site: Site, meter, period) -> None:
    meter.index += timedelta(minutes=5)
    with pytest.raises(InputError, match="rows of 15 min begin beside the month, which begins at 2026-06-30T16:00:00Z"):
        metered_month(read(tmp_path, meter), site, period, ["meter.import_kw"])


def test_two_per_cent_missing_is_an_estimate(tmp_path: Path, site: Site, meter, period) -> None:
    meter.iloc[500:560] = np.nan
    month = metered_month(read(tmp_path, meter), site, period, ["meter.import_kw"])
    assert month.grade() == "flagged"


def test_more_than_five_per_cent_missing_is_refused_with_the_gaps(tmp_path: Path, site: Site, meter, period) -> None:
    meter.iloc[500:700] = np.nan
    with pytest.raises(InputError, match="2026-07-05T21:00:00Z to 2026-07-07T23:00:00Z"):
        metered_month(read(tmp_path, meter), site, period, ["meter.import_kw"])


def test_a_meter_that_only_checks_is_left_out_where_it_is_too_incomplete(
    tmp_path: Path, site: Site, meter, period
) -> None:
    meter["chiller1.power_kw"] = 20.0
    meter["chiller2.power_kw"] = 20.0
    meter.iloc[500:700, 1] = np.nan
    month = metered_month(
        read(tmp_path, meter),
        site,
        period,
        ["meter.import_kw"],
        spare=["chiller1.power_kw", "chiller2.power_kw", "x.kw"],
    )
    assert list(month.frame) == ["meter.import_kw", "chiller2.power_kw"]
    assert month.coverage == 1.0


def test_a_month_the_history_does_not_reach_is_refused(tmp_path: Path, site: Site, meter, period) -> None:
    with pytest.raises(InputError, match="too little was measured"):
        metered_month(read(tmp_path, meter.iloc[:1500]), site, period, ["meter.import_kw"])


def test_all_lacking_meters_are_named_at_once(tmp_path: Path, site: Site, meter, period) -> None:
    with pytest.raises(InputError) as refused:
        metered_month(read(tmp_path, meter), site, period, ["pv1.used_kw", "meter.import_kw", "battery1.charge_kw"])
    assert [problem.path for problem in refused.value.problems] == ["pv1.used_kw", "battery1.charge_kw"]
