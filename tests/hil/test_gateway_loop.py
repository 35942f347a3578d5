"""The whole way in process: plans on a forecast that is too low, gateway, plant; with the local loop and blind."""

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hil.closed_loop import recorded_situation
from hil.direct_face import DirectFace
from hil.drivers import minute_drivers
from hil.gateway_loop import run_through_gateway, sliding_demand_kw
from hil.measured import served_cars
from hil.modbus_face import ModbusFace as ServedByModbus
from hil.plant import Plant, Records
from hil.site_controller import SiteController
from hil.truth import Truth
from optimizer.plan import Text
from site_configs.history import read_history, sample_folder
from site_configs.loader import load_site
from site_configs.tariff import load_tariff
from streams.control_cycle import control_cycle, planner_for
from streams.decision import decide
from streams.gateways.local_loop import limits_of
from streams.gateways.modbus import ModbusFace
from streams.gateways.registers import site_registers
from streams.gateways.site_setpoints import SiteSetpoints
from streams.messages import SetpointMessage

SEED = 7
PEAK_BEFORE_KW = 822.0
QUARTERS = 5


@pytest.fixture(scope="module")
def jiashan():
    return load_site("jiashan_park")


def runs_of(site, start, peak_kw):
    """Some quarters whose load is 30 % above its forecast, by whether the local loop runs."""
    history, tariff = read_history(sample_folder(site.id), zone=site.timezone), load_tariff(site)
    truth = replace(Truth.drawn(site, np.random.default_rng(SEED)), guards=False)

    def run(local_loop):
        planner = planner_for(site)

        def tell(state):
            known = recorded_situation(site, tariff, history, state, state.at + timedelta(hours=10))
            too_low = {name: kw * (0.7 if name == "load.demand_kw" else 1.0) for name, kw in known.series.items()}
            situation = replace(known, series=too_low)
            return decide(situation, {}, control_cycle(site, planner, situation, None).plan).setpoints

        peaks_kw = {"demand": peak_kw}
        return run_through_gateway(
            site, history, start, QUARTERS, tell, seed=SEED, truth=truth, peaks_kw=peaks_kw, local_loop=local_loop
        )

    return {local_loop: run(local_loop) for local_loop in (True, False)}


@pytest.fixture(scope="module")
def runs(jiashan, park):
    """A noon, when stores are filled."""
    return runs_of(jiashan, park.START + timedelta(hours=12), PEAK_BEFORE_KW)


def test_ice_takes_over_from_chillers_where_there_is_no_battery():
    """Half full in a hot afternoon, with no room below the month's peak."""
    hotel = load_site("beijing_hotel")
    through = runs_of(hotel, datetime(2026, 8, 6, 5, 30, tzinfo=UTC), 1400.0)
    assert through[True].peak_kw < 0.9 * through[False].peak_kw
    for run in through.values():
        assert run.run.records.get("cold_load.unserved_kw").max() == pytest.approx(0.0, abs=1e-9)
    melted, blind = (through[loop].run.records.get("ice_store.discharge_kw").sum() for loop in (True, False))
    assert melted > 5.0 * blind
    assert {ack.device for ack in through[True].acks if "local loop" in ack.reason} >= {"chiller1"}


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


class Noon:
    """The test park around noon with nothing to be exported, its battery told to feed; setpoints by hand."""

    def __init__(self, park, available_kw):
        truth = replace(Truth.exact(park.PARK), guards=False)  # the cable could carry an export
        frame = park.frame(8, park.START)
        frame["pv1.available_kw"] = available_kw
        plant = Plant(truth, minute_drivers(frame, {}, park.START, 8, {}, np.random.default_rng(1)))
        self.controller, self.acks, self.seconds = SiteController(plant, plant.start()), [], 0.0

    @contextmanager
    def behind(self, protocol):
        """The gateway in front of the controller, with the real Modbus between them or nothing."""
        with ExitStack() as open_now:
            face = DirectFace(self.controller)
            if protocol == "modbus":
                served = open_now.enter_context(ServedByModbus(self.controller))
                face = ModbusFace("127.0.0.1", served.port, site_registers(self.site))
            devices = [device for device in self.site.devices if device.id in self.controller.plant.controlled]
            limits = limits_of(zero_export(self.site))
            self.gateway = SiteSetpoints(self.site.id, devices, face, self.acks.append, lambda: self.seconds, limits)
            yield
            face.close()

    @property
    def site(self):
        return self.controller.plant.truth.site

    def tell(self, seq, battery_kw, room, own=None):
        told = (("battery1", battery_kw, room, own), ("pv1", 400.0, (0.0, 400.0), None))
        self.gateway.handle([self.setpoint(seq, *one) for one in told])

    def setpoint(self, seq, device, target_kw, room, own):
        at = self.controller.clock
        return SetpointMessage(
            site="testpark", cmd_id=f"{device}:{seq}", device=device, seq=seq, issued_at=at, valid_from=at,
            valid_until=at + timedelta(minutes=20), target_kw=target_kw, safe_value_kw=0.0, grid_limit_kw=400.0,
            room_kw=room, self_supply_kw=own, answer="optimal", reason=Text(zh="", en=""), plan_id="p", plan_hash="h",
            forecast_id="f",
        )  # fmt: skip

    def quarters(self, count, *told):
        """Their records, the battery told the same at the start of each."""
        found = []
        for quarter in range(count):
            self.tell(quarter + 1, *told)
            found.append(self.run(15))
        return found

    def run(self, minutes):
        parts = []
        for _ in range(minutes):
            self.gateway.turn()
            parts.append(self.controller.run(1))
            self.seconds += 60.0
        return Records.joined(parts)


def zero_export(site):
    devices = [
        d.model_copy(update={"export_limit_kw": 0.0}) if d.kind == "grid_connection" else d for d in site.devices
    ]
    return site.model_copy(update={"devices": tuple(devices)})


@pytest.mark.parametrize("protocol", ["direct", "modbus"])
def test_nothing_is_exported_when_the_sun_comes_out_and_the_plan_is_kept_when_it_goes(park, protocol):
    noon = Noon(park, [50.0, 380.0, 380.0, 380.0, 50.0, 50.0, 50.0, 50.0])
    with noon.behind(protocol):
        quarters = noon.quarters(5, 60.0, (-40.0, 250.0))
    cloudy, sunny, *_, cloudy_again = quarters
    assert cloudy.get("battery1.discharge_kw")[2:] == pytest.approx(60.0)  # nothing in danger: as told
    assert sunny.get("meter.export_kw")[2:].max() == pytest.approx(0.0, abs=0.5)
    assert sunny.get("battery1.discharge_kw")[-1] < 60.0
    assert cloudy_again.get("battery1.discharge_kw")[-1] == pytest.approx(60.0)
    assert {ack.state for ack in noon.acks} <= {"accepted", "applied", "superseded"}


@pytest.mark.parametrize("protocol", ["direct", "modbus"])
def test_a_battery_keeps_the_connection_at_zero_as_far_as_its_setpoint_says(park, protocol):
    """What the site draws beside the battery decides, not the 60 kW of the setpoint."""
    noon = Noon(park, [300.0, 240.0, 380.0, 50.0, 300.0, 300.0, 300.0, 300.0])
    with noon.behind(protocol):
        quarters = noon.quarters(4, 60.0, (-250.0, 250.0), (-10.0, 200.0))
        noon.tell(5, 60.0, (-250.0, 250.0))
        alone = noon.run(15)
    fed = [records.get("battery1.discharge_kw") - records.get("battery1.charge_kw") for records in quarters]
    net = [records.get("meter.import_kw") - records.get("meter.export_kw") for records in quarters]
    needed = [kw + net_kw for kw, net_kw in zip(fed, net, strict=True)]
    assert [round(float(kw[-1])) for kw in needed] == [34, 105, -25, 316]
    for kw, wanted in zip(fed, needed, strict=True):
        exported = np.where(wanted < -10.0, wanted, -10.0)  # nothing may be exported: a limit, not a wish
        assert kw[2:] == pytest.approx(np.clip(wanted[2:], exported[2:], 200.0), abs=1.0)
    assert alone.get("battery1.discharge_kw")[-1] == pytest.approx(60.0)
