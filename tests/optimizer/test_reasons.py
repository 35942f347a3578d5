"""The price or limit that holds a setpoint, where it is known by construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from optimizer.balance import FeederLimit
from optimizer.devices import (
    AnyDevice,
    BackupGenerator,
    Battery,
    Chiller,
    Chp,
    FlexibleLoad,
    GasBoiler,
    GasSupply,
    GridConnection,
    HeatPump,
    Load,
    Pv,
    ThermalStore,
    V2gCharger,
    WasteHeat,
)
from optimizer.plan import Plan, Text
from optimizer.planner import Planner
from optimizer.situation import DemandLine, Prices, Session, Situation
from optimizer.time_grid import TimeGrid

START = datetime(2026, 8, 25, 16, tzinfo=UTC)  # midnight in Shanghai
SHANGHAI = ZoneInfo("Asia/Shanghai")
BAND_PRICES = {"valley": 0.3, "flat": 0.7, "peak": 1.0, "sharp": 1.3}
EXPORT_PRICE = 0.2
GRID = GridConnection(id="grid", import_limit_kw=900)
LOAD = Load(id="load")
HEAT = Load(id="heat_load", carrier="heat")
COLD = Load(id="cold_load", carrier="cold")
GAS = GasSupply(id="gas", supply_limit_kw=900, price_per_nm3=3.77)
GAS_PRICE = 3.77 / 10.814


def battery(**more: float) -> Battery:
    own = {
        "id": "battery1", "capacity_kwh": 100, "charge_limit_kw": 50, "discharge_limit_kw": 50,
        "standing_loss_per_hour": 0.0, "wear_cost_per_kwh": 0.1, "min_soc": 0.1, "max_soc": 1.0,
    }  # fmt: skip
    return Battery.model_validate(own | more)


def situation_of(
    bands: Sequence[str],
    *,
    state: Mapping[str, Mapping[str, float]] | None = None,
    cars: Sequence[Session] = (),
    demand: tuple[DemandLine, ...] = (),
    export_per_kwh: float = EXPORT_PRICE,
    **series: float | Sequence[float],
) -> Situation:
    """One-hour steps in the given bands; series by name with `__` for the dot."""
    n = len(bands)
    given = {"load__demand_kw": 100.0, "weather__temperature_c": 30.0, **series}
    return Situation(
        site="tiny",
        issued_at=START,
        grid=TimeGrid(START, 60, n),
        state=state or {},
        series={name.replace("__", "."): np.broadcast_to(np.asarray(v, float), n) for name, v in given.items()},
        prices=Prices(
            import_per_kwh=np.array([BAND_PRICES[band] for band in bands]),
            export_per_kwh=np.full(n, export_per_kwh),
            band=tuple(bands),
            demand=demand,
            billing_period=(0,) * n,
            carbon_kg_per_kwh=np.zeros(n),
        ),
        sessions={car.charger: (car,) for car in cars},
    )


def plan_of(
    devices: Sequence[AnyDevice], situation: Situation, feeders: Sequence[FeederLimit] = (), last: Plan | None = None
) -> Plan:
    plan = Planner("tiny", devices, feeders, zone=SHANGHAI).plan(situation, last_plan=last)
    assert isinstance(plan, Plan), plan
    return plan


def reason_of(
    device: str, devices: Sequence[AnyDevice], situation: Situation, feeders: Sequence[FeederLimit] = ()
) -> Text:
    return next(s.reason for s in plan_of(devices, situation, feeders).setpoints if s.device == device)


def soc(kwh: float) -> dict[str, dict[str, float]]:
    return {"battery1": {"energy_kwh": kwh}}


def car(hours: float, needed: float, *, held: float = 20.0, charger: str = "ev01") -> Session:
    return Session(charger, charger, START - timedelta(hours=1), START + timedelta(hours=hours), needed, held, 60.0)


def test_a_battery_charges_at_its_limit_in_the_valley_for_the_sharp_hours() -> None:
    """90 kWh are free and 50 kW for one hour do not fill them; a stored kWh serves 0.95 kWh at 1.3 less wear 0.1."""
    why = reason_of("battery1", (GRID, LOAD, battery()), situation_of(["valley", "sharp"], state=soc(10)))
    worth = 0.95 * (1.3 - 0.1)
    assert why.en == (
        "charging at its charging power limit: energy costs 0.3000/kWh now (valley) "
        f"and is worth {worth:.4f}/kWh once stored, for use at 01:00 (sharp, 1.3000/kWh)"
    )
    assert "受充入功率上限限制" in why.zh
    assert "0.3000/kWh（低谷）" in why.zh
    assert "供 01:00（尖峰，1.3000/kWh）使用" in why.zh


def test_a_battery_idles_where_the_spread_does_not_pay() -> None:
    """0.7 to 1.0: 0.95² · (1.0 - 0.1) < 0.7 + ..., and what is stored is worth 0.95 · 0.7 at the end."""
    dear_wear = battery(wear_cost_per_kwh=0.5)
    why = reason_of("battery1", (GRID, LOAD, dear_wear), situation_of(["flat", "peak", "flat"], state=soc(50)))
    assert why.en == (
        f"idle: 0.7000/kWh now (flat) against {0.95 * 0.7:.4f}/kWh stored does not pay for losses and wear"
    )
    assert "不抵损耗与折旧" in why.zh


def test_a_battery_discharges_at_its_power_limit() -> None:
    why = reason_of("battery1", (GRID, LOAD, battery()), situation_of(["sharp", "flat", "flat"], state=soc(100)))
    assert why.en.startswith("discharging at its discharging power limit: energy is worth 1.3000/kWh now (sharp)")
    assert "受放出功率上限限制" in why.zh
    assert "1.3000/kWh（尖峰）" in why.zh


def test_a_battery_holds_the_months_peak() -> None:
    """Load 130 over a peak of 100 at a flat price: only the demand line can make it discharge, and by 30 kW alone."""
    line = DemandLine("max", 48.0, 48.0, np.ones(3))
    situation = situation_of(
        ["flat"] * 3, state=soc(100) | {"grid": {"peak_kw.max": 100.0}}, demand=(line,), load__demand_kw=[130, 90, 90]
    )
    plan = plan_of((GRID, LOAD, battery(wear_cost_per_kwh=0.5)), situation)
    (setpoint,) = plan.setpoints
    assert setpoint.target_kw == pytest.approx(30.0)
    assert "held by the highest demand of the billing period" in setpoint.reason.en
    assert "已达本计费期最大需量" in setpoint.reason.zh


def test_charging_is_held_by_the_months_peak() -> None:
    line = DemandLine("max", 48.0, 48.0, np.ones(3))
    situation = situation_of(
        ["valley", "sharp", "sharp"], state=soc(10) | {"grid": {"peak_kw.max": 120.0}}, demand=(line,)
    )
    plan = plan_of((GRID, LOAD, battery()), situation)
    (setpoint,) = plan.setpoints
    assert setpoint.target_kw == pytest.approx(-20.0)
    assert f"costs {0.95 * 1.14:.4f}/kWh now (held by the highest demand of the billing period)" in setpoint.reason.en
    assert "本计费期最大需量" in setpoint.reason.zh


def test_charging_is_held_by_the_grid_import_limit() -> None:
    grid = GRID.model_copy(update={"import_limit_kw": 120.0})
    why = reason_of("battery1", (grid, LOAD, battery()), situation_of(["valley", "sharp"], state=soc(10)))
    assert "(held by the grid import limit)" in why.en
    assert "已达进线功率上限" in why.zh


def test_two_cars_are_held_by_their_feeder() -> None:
    chargers = tuple(V2gCharger(id=c, charge_limit_kw=20, departure_margin_minutes=0) for c in ("ev01", "ev02"))
    cars = [car(2, 28.0, charger=c.id) for c in chargers]
    feeder = FeederLimit("car_park", 30.0, ("ev01", "ev02"))
    situation = situation_of(["valley", "flat"], cars=cars)
    whys = [s.reason for s in plan_of((GRID, LOAD, *chargers), situation, (feeder,)).setpoints]
    assert any("held by the limit of feeder car_park" in why.en for why in whys)
    assert any("受馈线 car_park 容量限制" in why.zh for why in whys)


def test_a_car_charges_because_it_leaves() -> None:
    """20 kW for two hours at 0.95 give 38 kWh; 38 are needed: both hours are, sharp or not."""
    ev = V2gCharger(id="ev01", charge_limit_kw=20, departure_margin_minutes=0)
    why = reason_of("ev01", (GRID, LOAD, ev), situation_of(["sharp", "flat", "valley"], cars=[car(2, 39.0)]))
    assert why.en == "charging: without it the energy needed at departure by 02:00 is not reached"
    assert "02:00 离场时电量将达不到" in why.zh


def test_a_car_that_charges_in_the_cheapest_hour_names_its_departure() -> None:
    ev = V2gCharger(id="ev01", charge_limit_kw=20, departure_margin_minutes=0)
    why = reason_of("ev01", (GRID, LOAD, ev), situation_of(["valley", "flat", "sharp"], cars=[car(2, 25.0)]))
    assert why.en == (
        "charging at its charging power limit: energy costs 0.3000/kWh now (valley) "
        f"and is worth {0.7 / 0.95:.4f}/kWh once stored, for departure by 02:00"
    )
    assert "供 02:00 离场所需" in why.zh


def test_a_car_waits_for_the_cheap_band() -> None:
    ev = V2gCharger(id="ev01", charge_limit_kw=20, departure_margin_minutes=0)
    why = reason_of("ev01", (GRID, LOAD, ev), situation_of(["sharp", "flat", "valley"], cars=[car(3, 10.0)]))
    assert why.en == "waiting: energy costs 1.3000/kWh now (sharp); it is charged at 02:00 (valley, 0.3000/kWh)"
    assert "待 02:00（低谷，0.3000/kWh）再充" in why.zh


def test_a_car_is_not_discharged_below_its_floor() -> None:
    ev = V2gCharger(
        id="ev01", charge_limit_kw=20, discharge_limit_kw=20, v2g_floor_soc=0.4, departure_margin_minutes=0,
        wear_cost_per_kwh=0.1,
    )  # fmt: skip
    situation = situation_of(["sharp", "valley", "valley"], cars=[car(3, 10.0, held=24.0)])
    why = reason_of("ev01", (GRID, LOAD, ev), situation)
    assert why.en == (
        "idle: held at the floor below which the car is not discharged; energy costs 1.3000/kWh now (sharp)"
    )
    assert "V2G 最低电量" in why.zh


def test_sun_is_curtailed_under_zero_export_with_a_full_battery() -> None:
    devices = (GRID, LOAD, battery(), Pv(id="pv1", capacity_kw=400))
    situation = situation_of(["flat"] * 2, state=soc(100), pv1__available_kw=250.0)
    whys = {s.device: (s.target_kw, s.reason) for s in plan_of(devices, situation).setpoints}
    limit, why = whys["pv1"]
    assert limit == pytest.approx(100.0)
    assert why.en.startswith("curtailed to 100.0 kW: more cannot be used, stored or sold at a gain")
    assert why.zh.startswith("限发至 100.0 kW")
    assert "worth 0.0000/kWh now" in why.en


def test_sun_that_is_used_says_what_it_saves() -> None:
    pv = Pv(id="pv1", capacity_kw=400)
    why = reason_of("pv1", (GRID, LOAD, pv), situation_of(["peak"], pv1__available_kw=60.0))
    assert why.en == "all of it is used: power is worth 1.0000/kWh now (peak)"
    assert why.zh == "全部使用：此刻电值 1.0000/kWh（高峰）"


def test_a_chiller_runs_for_the_cold_load() -> None:
    chiller = Chiller(
        id="chiller1", cooling_limit_kw=300, cop_points=((20.0, 5.0),), auxiliary_share=0.0, min_part_load=0.0
    )
    devices = (GRID, LOAD, COLD, chiller)
    why = reason_of("chiller1", devices, situation_of(["flat"], cold_load__demand_kw=80.0))
    assert why.en == f"running: follows the need for cold, at {0.7 / 5:.4f}/kWh now"
    assert why.zh == f"出力：跟随冷的需要，边际价 {0.7 / 5:.4f}/kWh"
    short = reason_of("chiller1", devices, situation_of(["flat"], cold_load__demand_kw=320.0))
    assert "at its full cooling power" in short.en
    assert "not all demand can be served" in short.en
    assert "costs 0.1400/kWh here" in short.en


def test_the_heat_pump_runs_and_the_boiler_stands() -> None:
    boiler = GasBoiler(id="boiler1", heat_limit_kw=200, efficiency=0.92, min_part_load=0.0, name_zh="锅炉")
    pump = HeatPump(id="heat_pump1", heat_limit_kw=100, min_part_load=0.0, name_zh="热泵", name_en="heat pump")
    devices = (GRID, LOAD, HEAT, GAS, boiler, pump)
    plan = plan_of(devices, situation_of(["valley"], heat_load__demand_kw=50.0, weather__temperature_c=15.0))
    whys = {s.device: s.reason for s in plan.setpoints}
    cop = 6.81 - 0.121 * 30 + 0.00063 * 900
    assert whys["boiler1"].en == (
        f"off: heat is worth {0.3 / cop:.4f}/kWh now (set by heat pump) and would cost {GAS_PRICE / 0.92:.4f}/kWh here"
    )
    assert "由 热泵 定" in whys["boiler1"].zh
    both = plan_of(devices, situation_of(["valley"], heat_load__demand_kw=150.0, weather__temperature_c=15.0))
    whys = {s.device: s.reason for s in both.setpoints}
    assert whys["heat_pump1"].en == (
        f"running at its full heating power: heat is worth {GAS_PRICE / 0.92:.4f}/kWh now (set by boiler1) "
        f"and costs {0.3 / cop:.4f}/kWh here"
    )
    assert "受额定供热功率限制" in whys["heat_pump1"].zh


def chp(**more: float | bool) -> Chp:
    own = {"id": "chp1", "power_limit_kw": 100.0, "min_up_hours": 2.0, "min_down_hours": 2.0, "start_cost": 20.0}
    return Chp.model_validate(own | more)


def with_chp(**more: float | bool) -> tuple[AnyDevice, ...]:
    grid = GRID.model_copy(update={"export_limit_kw": 900.0})
    return (grid, LOAD, HEAT, GAS, GasBoiler(id="boiler1", heat_limit_kw=400, min_part_load=0.0), chp(**more))


RUNNING = {"power_kw": 100.0, "on_hours": 9.0, "off_hours": 0.0}


def test_a_chp_runs_because_of_its_heat() -> None:
    """Flat power at 0.7 and boiler heat at 0.379: 100 kWh of power and 105 of heat against 250 kWh of gas."""
    needs = {"heat_load__demand_kw": 150.0, "load__demand_kw": 150.0}
    why = reason_of("chp1", with_chp(), situation_of(["flat"] * 4, state={"chp1": RUNNING}, **needs))
    assert why.en.startswith("running at its full power: power is worth 0.7000/kWh now (flat)")
    assert f"and its heat is worth {GAS_PRICE / 0.92:.4f}/kWh now (set by boiler1)" in why.en
    assert "热值 0.3789/kWh（由 boiler1 定）" in why.zh


def test_a_chp_is_kept_on_by_its_minimum_run_time() -> None:
    young = {"power_kw": 100.0, "on_hours": 1.0, "off_hours": 0.0}
    situation = situation_of(["valley"] * 4, state={"chp1": young}, heat_load__demand_kw=150.0, load__demand_kw=150.0)
    why = reason_of("chp1", with_chp(), situation)
    assert why.en == "kept running by its minimum run time: 1.00 of 2.00 h have passed"
    assert why.zh == "保持运行：最短运行时间 2.00 h，已运行 1.00 h"


def test_a_chp_is_kept_off_by_its_minimum_standing_time() -> None:
    stopped = {"power_kw": 0.0, "on_hours": 0.0, "off_hours": 1.0}
    situation = situation_of(["sharp"] * 4, state={"chp1": stopped}, heat_load__demand_kw=150.0, load__demand_kw=150.0)
    why = reason_of("chp1", with_chp(), situation)
    assert why.en == "kept off by its minimum standing time: 1.00 of 2.00 h have passed"
    assert "最短停机时间" in why.zh


def test_a_chp_stands_where_nothing_pays_for_the_gas() -> None:
    stopped = {"power_kw": 0.0, "on_hours": 0.0, "off_hours": 9.0}
    situation = situation_of(["valley"] * 4, state={"chp1": stopped}, heat_load__demand_kw=150.0, load__demand_kw=150.0)
    why = reason_of("chp1", with_chp(), situation)
    assert why.en.startswith("off: power is worth 0.3000/kWh now (valley), heat is worth 0.3789/kWh now")
    assert why.en.endswith("which does not pay for the fuel")
    assert "不抵燃料费" in why.zh


def test_a_chp_bridges_a_cheap_hour_at_a_loss() -> None:
    """Stopping for one valley hour would cost a start and, with 2 h of standing, a peak hour."""
    situation = situation_of(
        ["valley", "peak", "peak", "peak"], state={"chp1": RUNNING}, heat_load__demand_kw=150.0, load__demand_kw=150.0
    )
    why = reason_of("chp1", with_chp(start_cost=60.0), situation)
    assert why.en.startswith("running at a loss of ")
    assert "停机再启" in why.zh


def test_a_start_that_would_not_be_earned_back_is_not_made() -> None:
    stopped = {"power_kw": 0.0, "on_hours": 0.0, "off_hours": 9.0}
    situation = situation_of(
        ["peak", "valley", "valley"], state={"chp1": stopped}, heat_load__demand_kw=150.0, load__demand_kw=150.0
    )
    why = reason_of("chp1", with_chp(start_cost=500.0), situation)
    assert "does not pay for a start and what it binds to" in why.en
    assert "不抵启动费用" in why.zh


def test_a_generator_stands_while_the_grid_is_cheaper_and_says_when_it_may_not_run() -> None:
    diesel = BackupGenerator(id="generator1", power_limit_kw=60, fuel_cost_per_kwh=2.5)
    off = reason_of("generator1", (GRID, LOAD, diesel), situation_of(["peak"], generator1__allowed=1.0))
    assert off.en == "off: power is worth 1.0000/kWh now (peak), which does not pay for the fuel"
    banned = reason_of("generator1", (GRID, LOAD, diesel), situation_of(["peak"]))
    assert (banned.en, banned.zh) == ("not allowed to run", "未允许运行")
    weak = GRID.model_copy(update={"import_limit_kw": 70.0})
    on = reason_of("generator1", (weak, LOAD, diesel), situation_of(["peak"], generator1__allowed=1.0))
    assert on.en == "running: follows the need for power, at 2.5000/kWh now (held by the grid import limit)"


def test_waste_heat_is_left_where_nobody_needs_it() -> None:
    furnace = WasteHeat(id="furnace", heat_limit_kw=100)
    devices = (GRID, LOAD, HEAT, furnace)
    why = reason_of("furnace", devices, situation_of(["flat"], heat_load__demand_kw=40.0, furnace__available_kw=90.0))
    assert why.en.startswith("curtailed to 40.0 kW")
    assert "heat is worth 0.0000/kWh now" in why.en


def test_a_flexible_load_waits_for_the_cheap_hour() -> None:
    flexible = FlexibleLoad(id="flexible", power_limit_kw=80, shift_hours=2, shiftable_share=0.5)
    situation = situation_of(["sharp", "flat", "valley"], flexible__demand_kw=40.0)
    why = reason_of("flexible", (GRID, LOAD, flexible), situation)
    assert why.en.startswith("putting demand off at the part that can be moved: energy is worth 1.3000/kWh now (sharp)")
    assert why.zh.startswith("推迟用能（受可调份额限制）")


def test_a_cold_store_serves_what_the_chiller_cannot() -> None:
    store = ThermalStore(
        id="store", carrier="cold", capacity_kwh=500, charge_limit_kw=100, discharge_limit_kw=100, loss_per_hour=0.0,
    )  # fmt: skip
    chiller = Chiller(id="chiller1", cooling_limit_kw=60, min_part_load=0.0)
    situation = situation_of(["flat"] * 2, state={"store": {"energy_kwh": 400.0}}, cold_load__demand_kw=80.0)
    whys = {s.device: s.reason.en for s in plan_of((GRID, LOAD, COLD, chiller, store), situation).setpoints}
    assert whys["store"].startswith("discharging: energy is worth ")


def test_a_steadier_plan_says_so() -> None:
    """The battery may charge in either of two equal hours; the last plan chose the second."""
    devices = (GRID, LOAD, battery())
    situation = situation_of(["valley", "valley", "sharp"], state=soc(30))
    cheapest = plan_of(devices, situation)
    moved = (50 / 0.95 + 10 - 30) / 0.95
    kw = {"charge_kw": np.array([0.0, moved, 0.0])}
    if cheapest.flow("battery1", "charge_kw")[0] < 1.0:
        kw = {"charge_kw": np.array([moved, 0.0, 0.0])}
    flows = tuple(replace(f, kw=kw.get(f.quantity, f.kw)) for f in cheapest.flows)
    steady = plan_of(devices, situation, last=replace(cheapest, flows=flows))
    assert steady.flow("battery1", "charge_kw") == pytest.approx(kw["charge_kw"], abs=1e-6)
    (setpoint,) = steady.setpoints
    assert setpoint.reason.en.endswith("; of equally cheap plans the nearest to the last one")
    assert setpoint.reason.zh.endswith("；同价方案中最接近上一计划")


def test_a_car_that_may_leave_any_time_charges_at_once() -> None:
    """Both later hours are cheaper, but half of its battery is to be there in any case."""
    ev = V2gCharger(id="ev01", charge_limit_kw=20, departure_margin_minutes=0, at_once_soc=0.5)
    why = reason_of("ev01", (GRID, LOAD, ev), situation_of(["sharp", "flat", "valley"], cars=[car(3, 5.0, held=5.0)]))
    assert why.en == "charging at once: up to the energy the car is to have whenever it leaves"
    assert "到场即充" in why.zh


def test_wear_by_depth_is_a_price_and_no_limit() -> None:
    wear = {"replacement_cost": 1000.0, "stress_factor": 1e-3}
    worn = {**battery().model_dump(exclude={"wear_cost_per_kwh"}), "depth_wear": wear}
    parts = (GRID, LOAD, Battery.model_validate(worn))
    why = reason_of("battery1", parts, situation_of(["valley", "sharp"], state=soc(10)))
    assert why.en.startswith("charging at its charging power limit: energy costs 0.3000/kWh now (valley)")
    assert why.en.endswith("for use at 01:00 (sharp, 1.3000/kWh)")
