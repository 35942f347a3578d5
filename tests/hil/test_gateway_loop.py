"""The whole way in process: plans on a forecast that is too low, gateway, plant; with the local loop and blind."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from hil.closed_loop import recorded_situation
from hil.gateway_loop import run_through_gateway, sliding_demand_kw
from hil.measured import served_cars
from hil.truth import Truth
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from site_configs.tariff import load_tariff
from streams.control_cycle import control_cycle, planner_for
from streams.decision import decide

SEED = 7
PEAK_BEFORE_KW = 822.0
QUARTERS = 5


@pytest.fixture(scope="module")
def jiashan():
    return load_site("jiashan_park")


@pytest.fixture(scope="module")
def runs(jiashan, park):
    """A noon, when stores are filled, whose load is 30 % above its forecast, by whether the local loop runs."""
    history, tariff, start = read_history(sample_folder("jiashan_park")), load_tariff(jiashan), park.START
    truth = replace(Truth.drawn(jiashan, np.random.default_rng(SEED)), guards=False)

    def run(local_loop):
        planner = planner_for(jiashan)

        def tell(state):
            known = recorded_situation(jiashan, tariff, history, state, state.at + timedelta(hours=10))
            too_low = {name: kw * (0.7 if name == "load.demand_kw" else 1.0) for name, kw in known.series.items()}
            situation = replace(known, series=too_low)
            return decide(situation, {}, control_cycle(jiashan, planner, situation, None).plan).setpoints

        return run_through_gateway(
            jiashan,
            history,
            start + timedelta(hours=12),
            QUARTERS,
            tell,
            seed=SEED,
            truth=truth,
            peaks_kw={"demand": PEAK_BEFORE_KW},
            local_loop=local_loop,
        )

    return {local_loop: run(local_loop) for local_loop in (True, False)}


def test_the_loop_keeps_the_peak_that_blind_setpoints_break(runs):
    limit_kw = float(np.nanmax(runs[True].run.records.get("meter.limit_kw")))
    assert runs[False].peak_kw > 1.1 * PEAK_BEFORE_KW
    assert runs[True].peak_kw < 1.02 * max(PEAK_BEFORE_KW, limit_kw)


def test_both_meet_the_same_load_and_serve_it(runs):
    loads = [run.run.records.get("load.demand_kw") for run in runs.values()]
    assert np.array_equal(*loads)
    for run in runs.values():
        assert run.run.records.get("load.unserved_kw").max() == 0.0
    missed = [served_cars(run.run.plant, run.run.records).missed_kwh for run in runs.values()]
    assert missed[0] == pytest.approx(missed[1], abs=0.5)


def test_setpoints_are_accepted_and_the_loop_says_what_it_did(runs):
    for run in runs.values():
        assert not [ack for ack in run.acks if ack.state == "rejected"]
    assert any("local loop" in ack.reason for ack in runs[True].acks)
    assert not any("local loop" in ack.reason for ack in runs[False].acks)


def test_sliding_demand_sees_what_clock_blocks_hide():
    """TV-05."""
    import_kw = np.full(60, 1000.0)
    import_kw[8:23] = 1600.0
    assert sliding_demand_kw(import_kw).max() == pytest.approx(1600.0)
    assert sliding_demand_kw(import_kw)[::15] == pytest.approx([1280.0, 1320.0, 1000.0, 1000.0])
