"""The shipped scenarios: the engine passes them, and controllers that are bad on purpose do not.

`benchmarks/scenarios.py` runs them all against all; here the engine runs them all, and bad controllers
that plan run one each.
"""

import pytest

from hil.scenarios.controllers import BAD, ENGINE
from hil.scenarios.loading import load_setting, shipped_scenarios

SETTINGS = {name: load_setting(name) for name in shipped_scenarios()}
WITH_AN_ENGINE = {
    "keeps_old": "planned_islanding",
    "blind": "pv_ramp_zero_export",
    "trusting": "frozen_meter",
    "never_expires": "communication_cut",
    "waits_for_the_plan": "solver_overrun",
    "numbers_anew": "message_disorder",
    "own_clock": "clock_jump",
    "unaware": "unplanned_islanding",
    "believes_all": "lying_meter",
}
"""Bad controllers that plan, each in one scenario that must catch it."""
PAIRS = [(name, bad) for name, setting in SETTINGS.items() for bad in setting.scenario.caught]
PAIRS = [(name, bad) for name, bad in PAIRS if WITH_AN_ENGINE.get(bad, name) == name]


def test_every_scenario_catches_and_every_bad_controller_is_caught():
    caught = {name: setting.scenario.caught for name, setting in SETTINGS.items()}
    assert [name for name, controllers in caught.items() if not controllers] == []
    assert set().union(*caught.values()) == set(BAD)
    assert [(name, bad) for bad, name in WITH_AN_ENGINE.items() if bad not in caught[name]] == []


@pytest.mark.parametrize("scenario", SETTINGS)
def test_the_engine_passes(ran, scenario):
    result, _ = ran(scenario, ENGINE)
    assert [finding for finding in result.findings if not finding.passed] == []


@pytest.mark.parametrize(("scenario", "controller"), PAIRS)
def test_a_bad_controller_fails_where_it_is_meant_to_be_caught(ran, scenario, controller):
    result, _ = ran(scenario, controller)
    assert not result.passed


def test_the_same_scenario_gives_the_same_run(ran):
    from hil.scenarios.controllers import CONTROLLERS
    from hil.scenarios.running import run_scenario

    setting = SETTINGS["pv_ramp_zero_export"]
    _, first = ran("pv_ramp_zero_export", ENGINE)
    again = run_scenario(setting, CONTROLLERS[ENGINE](setting))
    assert (first.records.values == again.records.values).all()
    assert first.acks == again.acks


def test_an_island_sheds_by_the_list_and_reserves_for_what_is_critical(ran):
    _, run = ran("unplanned_islanding", ENGINE)
    records = run.records
    island = slice(60, 165)
    assert records.get("offices.served_kw")[island].max() < 0.2 * records.get("offices.demand_kw")[island].max()
    assert records.get("load.unserved_kw")[island].max() == pytest.approx(0.0, abs=1e-6)
    assert records.get("meter.import_kw")[island].max() == 0.0
    assert records.get("offices.served_kw")[-1] > 0.8 * records.get("offices.demand_kw")[-1]


def test_the_meter_that_stands_still_moves_no_device_any_more(ran):
    _, engine = ran("frozen_meter", ENGINE)
    _, trusting = ran("frozen_meter", "trusting")
    window = slice(40, 80)
    assert engine.records.get("meter.export_kw")[window].max() < 5.0
    assert trusting.records.get("meter.export_kw")[window].max() > 100.0
