"""The shipped sample of the Jiashan park reads clean and fits the park."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from optimizer.devices.v2g_charger import V2gCharger
from optimizer.errors import InputError
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.site import Site

DEMO_DAY = pd.Timestamp("2026-08-26").date()


@pytest.fixture(scope="module")
def history() -> History:
    return read_history(sample_folder("jiashan_park"))


@pytest.fixture(scope="module")
def park() -> Site:
    return load_site("jiashan_park")


def chargers(park: Site) -> dict[str, V2gCharger]:
    return {device.id: device for device in park.devices if isinstance(device, V2gCharger)}


def test_it_reads_without_repairs(history: History, park: Site) -> None:
    assert history.repairs == ()
    assert history.step_minutes == park.step_minutes
    assert not history.frame.isna().any().any()
    assert history.frame.index[0] == pd.Timestamp("2026-06-15", tz=park.zone)
    assert history.end == pd.Timestamp("2026-10-19", tz=park.zone)


def test_it_has_the_series_of_the_park(history: History, park: Site) -> None:
    ids = {device.id for device in park.devices} | {"weather"}
    assert {str(name).split(".")[0] for name in history.frame} <= ids
    assert set(history.frame) == {
        "load.demand_kw",
        "pv1.available_kw",
        "cold_load.demand_kw",
        "weather.temperature_c",
    }


def test_the_park_can_carry_it(history: History) -> None:
    highest = history.frame.max()
    assert highest["pv1.available_kw"] <= 500
    assert highest["cold_load.demand_kw"] <= 500
    assert 900 < highest["load.demand_kw"] < 1100
    assert 600 < history.frame["load.demand_kw"].mean() < 700


def test_every_session_can_be_served_by_its_charger(history: History, park: Site) -> None:
    known = chargers(park)
    for session in history.sessions:
        hours = (session.depart - session.arrive).total_seconds() / 3600
        charger = known[session.charger]
        assert session.energy_needed_kwh <= charger.charge_limit_kw * charger.charge_efficiency * hours
        assert (session.capacity_kwh is not None) == (charger.discharge_limit_kw > 0)


def test_the_demo_day_is_a_sunny_workday_with_cars(history: History, park: Site) -> None:
    local = history.frame.tz_convert(park.zone)
    day = local.loc[str(DEMO_DAY)]
    arrivals = Counter(session.arrive.astimezone(park.zone).date() for session in history.sessions)
    assert arrivals[DEMO_DAY] == 14
    assert day["pv1.available_kw"].sum() / 4 > 2500
    noon = day["pv1.available_kw"].to_numpy().argmax() / 4
    assert 11 <= noon <= 13
    assert day["load.demand_kw"].max() > 1.8 * day["load.demand_kw"].min()


def test_it_stays_small() -> None:
    folder = sample_folder("jiashan_park")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    assert {path.name for path in folder.iterdir()} == {
        "series.csv.gz",
        "ev_sessions.csv",
        "contract.yaml",
        "SOURCES.md",
    }


def test_an_unknown_site_has_no_sample() -> None:
    with pytest.raises(InputError, match=r"no sample is shipped but for baoshan_steel, .*, got 'atlantis'"):
        sample_folder("atlantis")
