"""The closed loop in process: baselines on the sample day, any controller, the same seed twice."""

from datetime import timedelta

import numpy as np
import pytest

from hil.closed_loop import Decision, peak_before, run_closed_loop
from hil.measured import flows, means, served_cars, stored_kwh, wear
from hil.truth import Truth
from optimizer.errors import InputError
from settlement.day_cost import day_cost
from site_configs.history import History, read_history, sample_folder
from site_configs.loader import load_site
from site_configs.tariff import load_tariff

SEED = 7


@pytest.fixture(scope="module")
def jiashan():
    return load_site("jiashan_park")


@pytest.fixture(scope="module")
def history():
    return read_history(sample_folder("jiashan_park"))


@pytest.fixture(scope="module")
def peak(jiashan, history, park):
    return peak_before(jiashan, history, park.START)


@pytest.fixture(scope="module")
def runs(jiashan, history, park, peak):
    def run(name):
        return run_closed_loop(jiashan, history, park.START, 96, name, seed=SEED, peaks_kw=peak)

    return {name: run(name) for name in ("rules", "none")}


def test_quarter_hours_of_the_run_are_those_of_the_record(runs, history, park):
    end = park.START + timedelta(days=1)
    for run in runs.values():
        load = run.records.get("load.demand_kw").reshape(96, 15).mean(axis=1)
        assert load == pytest.approx(history.need("load.demand_kw", park.START, end).to_numpy(), abs=1e-9)
        assert run.records.start == park.START
        assert len(run.records) == 1440


def test_both_baselines_meet_the_same_minutes(runs):
    for name in ("load.demand_kw", "cold_load.demand_kw", "pv1.available_kw", "weather.temperature_c"):
        assert np.array_equal(runs["rules"].records.get(name), runs["none"].records.get(name))


def test_everybody_is_served_by_both(runs):
    for run in runs.values():
        measured = flows(run.plant, run.records)
        for carrier in ("power", "heat", "cold"):
            assert measured[f"unserved_{carrier}_kw"].max() == pytest.approx(0.0, abs=1e-9)
        cars = served_cars(run.plant, run.records)
        assert cars.sessions == 14
        assert cars.missed_kwh == pytest.approx(0.0, abs=1e-6)
        needed = sum(car.session.energy_needed_kwh for car in cars.cars)
        assert needed - 1e-6 <= cars.served_kwh <= needed + 5.0  # a new setpoint acts a minute late


def test_without_storing_stores_rest_and_rules_shave(runs):
    none, rules = (flows(runs[name].plant, runs[name].records) for name in ("none", "rules"))
    assert none["battery_discharge_kw"].max() == 0
    assert none["ev_discharge_kw"].max() == 0
    assert rules["battery_discharge_kw"].sum() / 4 > 500
    assert rules["import_kw"].max() < none["import_kw"].max()


def test_rules_cost_less_than_nothing(runs, jiashan, peak, park):
    period = (park.START, park.START + timedelta(days=1))
    tariff = load_tariff(jiashan)
    cost = {
        name: day_cost(jiashan, tariff, flows(run.plant, run.records), period, peak, wear(run.plant, run.records)).total
        for name, run in runs.items()
    }
    assert 0 < cost["rules"] < cost["none"]


def test_peak_before_grows_over_the_month_and_starts_anew(jiashan, history, park, peak):
    month_start = park.START - timedelta(days=25)
    assert peak_before(jiashan, history, month_start) == {"demand": 0.0}
    assert 0 < peak_before(jiashan, history, month_start + timedelta(days=3))["demand"] <= peak["demand"]
    assert peak_before(jiashan, history, park.START, "none")["demand"] > peak["demand"]


def test_same_seed_gives_the_same_run_and_another_seed_another(jiashan, history, park):
    one, two, other = (
        run_closed_loop(jiashan, history, park.START, 8, "none", seed=seed).records.values for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_any_function_can_be_the_controller(jiashan, history, park):
    seen = []

    def controller(state):
        seen.append(state)
        return Decision({"battery1": 80.0}, grid_limit_kw=700.0)

    truth = Truth.exact(jiashan)
    run = run_closed_loop(jiashan, history, park.START, 3, controller, seed=1, peaks_kw={"demand": 500.0}, truth=truth)
    assert [state.at for state in seen] == [park.START + timedelta(minutes=15 * q) for q in range(3)]
    assert seen[0].peak_kw == 500.0
    assert seen[1].peak_kw == max(500.0, run.records.get("meter.import_kw")[:15].mean())
    used = (seen[0].devices["battery1"]["energy_kwh"] - seen[2].devices["battery1"]["energy_kwh"]) * 0.95
    assert used == pytest.approx(80.0 * 0.5, abs=0.2)
    assert run.records.get("meter.limit_kw").max() == 700.0
    assert stored_kwh(run.plant, run.records)["battery1"] < seen[2].devices["battery1"]["energy_kwh"]


def test_a_record_that_is_too_short_is_named(jiashan, history, park):
    short = History("short", history.window(park.START, park.START + timedelta(hours=2)), 15)
    with pytest.raises(InputError, match="values are needed from"):
        run_closed_loop(jiashan, short, park.START, 4, "none", seed=1)


def test_means_leave_out_a_rest(runs):
    frame = runs["none"].records.frame()[["meter.import_kw"]].iloc[:40]
    assert len(means(frame, 15)) == 2
    assert means(frame, 15).iloc[1, 0] == pytest.approx(frame.iloc[15:30, 0].mean())
