"""Why a setpoint is what it is: the price or the limit that holds it, one sentence in Chinese and in English.

`optimizer.holding` finds what holds a device's first step; here it is said. Every price named is a shadow price of the
optimum, and hold in every answer of the same cost; every limit named is reached in the answer that is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property

import numpy as np

from optimizer.devices.base import Carrier, Device
from optimizer.holding import MOVED_KW, PRICE_TOLERANCE, Holding, Limit, Movement, StoreView
from optimizer.places import SITE
from optimizer.plan import Text
from optimizer.situation import Situation

LIMIT_VALUE = 50.0
"""Energy worth more than this [money/kWh] is so because of a limit: no tariff comes near."""

CARRIERS: dict[Carrier, str] = {"power": "电", "heat": "热", "cold": "冷", "gas": "气"}
BANDS = {"sharp": "尖峰", "peak": "高峰", "flat": "平段", "valley": "低谷", "deep": "深谷"}

DAY_ABOVE = Text(zh="为负荷高于预测的一天所留备用", en="what is kept for a day above its forecast")
ROWS = {
    "energy_above_minimum": Text(zh="最低荷电状态", en="its lowest state of charge"),
    "energy_below_maximum": Text(zh="最高荷电状态", en="its highest state of charge"),
    "ready_at_departure": Text(zh="离场所需电量", en="the energy needed at departure"),
    "not_later_than_the_window": Text(zh="可推迟时间窗", en="the latest time its energy can wait"),
    "not_earlier_than_the_window": Text(zh="可提前时间窗", en="the earliest time its energy can be used"),
    "put_off_only_what_is_served": Text(zh="可推迟的用电量", en="the demand there is to put off"),
    "power_only_while_on": Text(zh="额定功率", en="its full power"),
    "power_at_least_minimum_while_on": Text(zh="最小出力", en="its least steady power"),
    "rises_within_ramp": Text(zh="爬坡速率", en="its ramp"),
    "falls_within_ramp": Text(zh="爬坡速率", en="its ramp"),
    "charge_below_limit": Text(zh="当前储量下的充入限值", en="its charging limit at this fill"),
    "discharge_below_limit": Text(zh="当前储量下的放出限值", en="its discharging limit at this fill"),
    "draws_less_near_full": Text(zh="车辆接近充满时的限流", en="what the car takes near full"),
    "had_at_once": Text(zh="到场即充电量", en="the energy the car is to have at once"),
    "up_within_power": Text(zh="上调备用承诺", en="the upward reserve it holds"),
    "up_within_energy": Text(zh="上调备用所需电量", en="the energy of the upward reserve it holds"),
    "up_within_connection": Text(zh="上调备用承诺", en="the upward reserve of the site"),
    "down_within_power": Text(zh="下调备用承诺", en="the downward reserve it holds"),
    "down_within_energy": Text(zh="下调备用所需空间", en="the room for the downward reserve it holds"),
    "down_within_connection": Text(zh="下调备用承诺", en="the downward reserve of the site"),
    "carried_by_what_is_stored": Text(zh="孤岛运行备用电量", en="the energy kept for an island"),
    "kept_within_power": Text(zh="控制最大需量的备用功率", en="the power kept against the month's peak"),
    "kept_by_what_is_stored": Text(zh="控制最大需量的备用电量", en="the energy kept against the month's peak"),
    "day_is_made_up_within_power": DAY_ABOVE,
    "energy_behind_the_plan": DAY_ABOVE,
    "emissions_stay_under_the_limit": Text(zh="碳排放限额", en="the carbon limit of the day"),
}
BOUNDS = {
    ("charge_kw", "high"): Text(zh="充入功率上限", en="its charging power limit"),
    ("discharge_kw", "high"): Text(zh="放出功率上限", en="its discharging power limit"),
    ("added_kw", "high"): Text(zh="最大用能功率", en="its largest power"),
    ("put_off_kw", "high"): Text(zh="可调份额", en="the part that can be moved"),
    ("energy_kwh", "high"): Text(zh="已充满", en="its full capacity"),
    ("energy_kwh", "low"): Text(zh="已放空", en="its empty state"),
    ("import_kw", "high"): Text(zh="进线功率上限", en="the grid import limit"),
    ("export_kw", "high"): Text(zh="上网功率上限", en="the grid export limit"),
    ("power_kw", "high"): Text(zh="额定功率", en="its full power"),
    ("heat_kw", "high"): Text(zh="额定供热功率", en="its full heating power"),
    ("cold_kw", "high"): Text(zh="额定制冷功率", en="its full cooling power"),
    ("used_kw", "high"): Text(zh="可用光照", en="the sun there is"),
}
FLOOR = Text(zh="V2G 最低电量", en="the floor below which the car is not discharged")
UNSERVED = Text(zh="负荷不能全部满足", en="not all demand can be served")
CAR_FULL = Text(zh="车辆已充满", en="a full car")


@dataclass(frozen=True)
class Verbs:
    fill: Text
    draw: Text


STORING = Verbs(fill=Text(zh="充入", en="charging"), draw=Text(zh="放出", en="discharging"))
SHIFTING = Verbs(fill=Text(zh="提前或补用", en="using more now"), draw=Text(zh="推迟用能", en="putting demand off"))


@dataclass(frozen=True)
class Reasons:
    """Says why for one answer. `zone` is that of the site's people."""

    devices: Mapping[str, Device]
    situation: Situation
    holding: Holding
    zone: tzinfo = UTC

    def of(self, device: Device, here: Mapping[str, float], held: Text | None) -> Text:
        """The reason of a device's setpoint; `held` names the rule of operation that leaves it no choice, if any."""
        if not self.holding.has_prices:
            return Text(zh="截止时间前找到的最好方案", en="the best found by the deadline; its prices are not known")
        said = self._of(device, here, held)
        if self.holding.moved_kw(device.id) <= MOVED_KW:
            return said
        return Text(
            zh=f"{said.zh}；同价方案中最接近上一计划",
            en=f"{said.en}; of equally cheap plans the nearest to the last one",
        )

    def _of(self, device: Device, here: Mapping[str, float], held: Text | None) -> Text:
        store = self.holding.store(device.id)
        if store is not None:
            return self._store(device, store)
        if held is not None:
            return held
        return self._machine(device, here)

    # Stores

    def _store(self, device: Device, store: StoreView) -> Text:
        filling, drawing = self.holding.store_flows(device.id)
        fill, draw = self.holding.movement(device.id, filling), self.holding.movement(device.id, drawing)
        carrier = device.buses()[filling][0]
        if fill.kw > MOVED_KW and fill.kw > draw.kw:
            return self._filling(device, store, fill, carrier)
        if draw.kw > MOVED_KW:
            return self._drawing(device, store, draw, carrier)
        return self._idle(device, store, fill, draw, carrier)

    def _filling(self, device: Device, store: StoreView, fill: Movement, carrier: Carrier) -> Text:
        verb, price, worth = _verbs(device).fill, self._price(carrier), float(store.value[0])
        reached = self.holding.energy_limit(device.id, 0)
        if reached is not None and reached.name.local == "had_at_once":
            return Text(
                zh=f"{verb.zh}：到场即充，直至任何时候离场都应有的电量",
                en=f"{verb.en} at once: up to the energy the car is to have whenever it leaves",
            )
        if worth > LIMIT_VALUE:
            return self._must_fill(device, store, verb)
        held, use = self._held_by(device, fill.limits), self._purpose(device, store, carrier)
        if fill.gap > PRICE_TOLERANCE and not fill.limits and _least_charge_kw(device) > 0.0:
            held = Text(zh="（按最小充电功率）", en=" at its least charging power")
        return Text(
            zh=f"{verb.zh}{held.zh}：此刻能量边际价 {price.zh}，存入后值 {worth:.4f}/kWh{use.zh}",
            en=f"{verb.en}{held.en}: energy costs {price.en} and is worth {worth:.4f}/kWh once stored{use.en}",
        )

    def _must_fill(self, device: Device, store: StoreView, verb: Text) -> Text:
        step = store.until()
        limit = self.holding.energy_limit(device.id, step)
        if limit is not None and limit.name.local == "ready_at_departure":
            by = self._clock(self._end_of(step))
            return Text(
                zh=f"{verb.zh}：若不充，{by} 离场时电量将达不到",
                en=f"{verb.en}: without it the energy needed at departure by {by} is not reached",
            )
        what = ROWS["energy_above_minimum"] if limit is None else self._words(limit)
        return Text(zh=f"{verb.zh}：若不充，达不到{what.zh}", en=f"{verb.en}: without it {what.en} is not reached")

    def _purpose(self, device: Device, store: StoreView, carrier: Carrier) -> Text:
        """What the energy stored now is for: the dearest hour in which the plan uses it, or the departure."""
        last = store.until()
        drawn = (1 + np.flatnonzero(store.draws[1 : last + 1] > MOVED_KW)).tolist()
        if drawn:
            dearest = max(drawn, key=lambda t: round(self._price_at(carrier, t), 4))
            when = self._moment(carrier, dearest)
            return Text(zh=f"，供 {when.zh}使用", en=f", for use at {when.en}")
        limit = self.holding.energy_limit(device.id, last) if store.force[last] > PRICE_TOLERANCE else None
        if limit is not None and limit.name.local == "ready_at_departure":
            by = self._clock(self._end_of(last))
            return Text(zh=f"，供 {by} 离场所需", en=f", for departure by {by}")
        return Text(zh="", en="")

    def _drawing(self, device: Device, store: StoreView, draw: Movement, carrier: Carrier) -> Text:
        verb, price, worth = _verbs(device).draw, self._price(carrier), float(store.value[0])
        held = self._held_by(device, draw.limits)
        return Text(
            zh=f"{verb.zh}{held.zh}：此刻能量边际价 {price.zh}，高于留存价值 {worth:.4f}/kWh",
            en=f"{verb.en}{held.en}: energy is worth {price.en} against {worth:.4f}/kWh if kept",
        )

    def _idle(self, device: Device, store: StoreView, fill: Movement, draw: Movement, carrier: Carrier) -> Text:
        price, worth = self._price(carrier), float(store.value[0])
        at_limit = self.holding.energy_limit(device.id, 0)
        wish = next((m for m in (fill, draw) if m.gap < -PRICE_TOLERANCE and m.limits), None)
        if wish is not None:
            what = self._words(wish.limits[0])
            return Text(
                zh=f"待机：受{what.zh}限制，此刻能量边际价 {price.zh}，存能值 {worth:.4f}/kWh",
                en=f"idle: held by {what.en}; energy costs {price.en} and {worth:.4f}/kWh is stored energy worth",
            )
        if fill.gap < -PRICE_TOLERANCE and fill.most_kw > MOVED_KW and _least_charge_kw(device) > 0.0:
            return Text(
                zh=f"等待：不足最小充电功率，此刻能量边际价 {price.zh}，存入后值 {worth:.4f}/kWh",
                en=f"waiting: less than its least charging power is left for it; energy costs {price.en} and is worth "
                f"{worth:.4f}/kWh once stored",
            )
        bars = draw.most_kw if store.force[0] > 0 else fill.most_kw
        if at_limit is not None and abs(store.force[0]) > PRICE_TOLERANCE and bars > MOVED_KW:
            what = self._words(at_limit)
            return Text(
                zh=f"待机：{what.zh}，此刻能量边际价 {price.zh}",
                en=f"idle: held at {what.en}; energy costs {price.en}",
            )
        return self._waiting(store, carrier, price, worth)

    def _waiting(self, store: StoreView, carrier: Carrier, price: Text, worth: float) -> Text:
        last = store.until()
        later = (1 + np.flatnonzero(np.maximum(store.fills, store.draws)[1 : last + 1] > MOVED_KW)).tolist()
        now = self._price_at(carrier, 0)
        filled = [t for t in later if store.fills[t] > MOVED_KW and self._price_at(carrier, t) < now - PRICE_TOLERANCE]
        drawn = [t for t in later if store.draws[t] > MOVED_KW and self._price_at(carrier, t) > now + PRICE_TOLERANCE]
        if later and later[0] in filled:
            when = self._moment(carrier, min(filled, key=lambda t: round(self._price_at(carrier, t), 4)))
            return Text(
                zh=f"等待：此刻能量边际价 {price.zh}，待 {when.zh}再充",
                en=f"waiting: energy costs {price.en}; it is charged at {when.en}",
            )
        if later and later[0] in drawn:
            when = self._moment(carrier, max(drawn, key=lambda t: round(self._price_at(carrier, t), 4)))
            return Text(
                zh=f"待机：此刻能量边际价 {price.zh}，留待 {when.zh}使用",
                en=f"idle: energy is worth {price.en}; it is kept for {when.en}",
            )
        return Text(
            zh=f"待机：此刻边际价 {price.zh} 与存能价值 {worth:.4f}/kWh 之差不抵损耗与折旧",
            en=f"idle: {price.en} against {worth:.4f}/kWh stored does not pay for losses and wear",
        )

    # Machines and generation

    def _machine(self, device: Device, here: Mapping[str, float]) -> Text:
        quantity = device.main_quantity or ""
        carrier = device.buses()[quantity][0]
        move = self.holding.movement(device.id, quantity)
        available = here.get("available_kw", here.get("heat_available_kw"))
        if available is not None:
            return self._given(device, carrier, move, available)
        if self.holding.decided(device.id) is not None:
            return self._switched(device, carrier, move)
        if move.kw <= MOVED_KW:
            return self._off(device, carrier, move)
        return self._running(device, carrier, move)

    def _given(self, device: Device, carrier: Carrier, move: Movement, available: float) -> Text:
        """Sun and waste heat: free where they are used."""
        price = self._price(carrier, of=device.id)
        if available - move.kw > MOVED_KW:
            limit = self._words(move.limits[0]) if move.limits else None
            why = Text(zh="", en="") if limit is None else Text(zh=f"{limit.zh}，", en=f"{limit.en}; ")
            return Text(
                zh=f"限发至 {move.kw:.1f} kW：{why.zh}再多无处可用、可存或可售，此刻{CARRIERS[carrier]}值 {price.zh}",
                en=f"curtailed to {move.kw:.1f} kW: {why.en}more cannot be used, stored or sold at a gain, "
                f"{carrier} is worth {price.en}",
            )
        return Text(
            zh=f"全部使用：此刻{CARRIERS[carrier]}值 {price.zh}", en=f"all of it is used: {carrier} is worth {price.en}"
        )

    def _running(self, device: Device, carrier: Carrier, move: Movement) -> Text:
        price, own = self._price(carrier, of=device.id), move.gap + self._price_at(carrier, 0)
        if abs(move.gap) <= PRICE_TOLERANCE:
            return Text(
                zh=f"出力：跟随{CARRIERS[carrier]}的需要，边际价 {price.zh}",
                en=f"running: follows the need for {carrier}, at {price.en}",
            )
        if move.gap < 0:
            held = self._held_by(device, move.limits)
            return Text(
                zh=f"出力{held.zh}：{CARRIERS[carrier]}值 {price.zh}，自产成本 {own:.4f}/kWh",
                en=f"running{held.en}: {carrier} is worth {price.en} and costs {own:.4f}/kWh here",
            )
        what = self._words(move.limits[0]) if move.limits else Text(zh="最小出力", en="its least part load")
        return Text(
            zh=f"出力：保持{what.zh}，{CARRIERS[carrier]}值 {price.zh}，自产成本 {own:.4f}/kWh",
            en=f"running, held up by {what.en}: {carrier} is worth {price.en} and costs {own:.4f}/kWh here",
        )

    def _off(self, device: Device, carrier: Carrier, move: Movement) -> Text:
        price, own = self._price(carrier, of=device.id), move.gap + self._price_at(carrier, 0)
        if move.gap < -PRICE_TOLERANCE:
            what = self._words(move.limits[0]) if move.limits else Text(zh="最小出力", en="its least part load")
            return Text(
                zh=f"停：受{what.zh}限制，{CARRIERS[carrier]}值 {price.zh}，自产成本 {own:.4f}/kWh",
                en=f"off: held by {what.en}; {carrier} is worth {price.en} and would cost {own:.4f}/kWh here",
            )
        return Text(
            zh=f"停：{CARRIERS[carrier]}值 {price.zh}，自产成本 {own:.4f}/kWh",
            en=f"off: {carrier} is worth {price.en} and would cost {own:.4f}/kWh here",
        )

    def _switched(self, device: Device, carrier: Carrier, move: Movement) -> Text:
        """A machine with an on/off decision: running at a loss or standing in spite of a gain has other grounds."""
        flows = {quantity: self.holding.flow(device.id, quantity) for quantity in device.buses()}
        if not self.holding.decided(device.id):
            return self._off_by_decision(device)
        gain = self._gain_per_hour(device, flows) - self.holding.running_cost(device.id)
        if gain < -PRICE_TOLERANCE * device.bounds_kw()[1]:
            return Text(
                zh=f"保持运行：此刻每小时亏 {-gain:.2f}，但停机再启或错过后续时段更贵",
                en=f"running at a loss of {-gain:.2f}/h now: stopping, or starting later, would cost more",
            )
        others = self._others_worth(device)
        said = self._running(device, carrier, move)
        return Text(zh=f"{said.zh}{others.zh}", en=f"{said.en}{others.en}")

    def _off_by_decision(self, device: Device) -> Text:
        best = max(
            (self._gain_per_hour(device, flows) - cost for flows, cost in device.if_run()),
            default=-1.0,
        )
        worths = "，".join(f"{CARRIERS[c]}值 {self._price(c).zh}" for c in self._fed(device))
        worth = ", ".join(f"{c} is worth {self._price(c).en}" for c in self._fed(device))
        if best <= 0:
            return Text(zh=f"停：{worths}，不抵燃料费", en=f"off: {worth}, which does not pay for the fuel")
        return Text(
            zh=f"停：{worths}，每小时至多可赚 {best:.2f}，不抵启动费用及启停限制",
            en=f"off: {worth}; the {best:.2f}/h it could gain at most does not pay for a start and what it binds to",
        )

    def _fed(self, device: Device) -> list[Carrier]:
        return [carrier for carrier, direction in device.buses().values() if direction == "in"]

    def _others_worth(self, device: Device) -> Text:
        """Worth of what a machine makes besides its main flow."""
        main = device.main_quantity
        fed = [c for q, (c, direction) in device.buses().items() if direction == "in" and q != main]
        return Text(
            zh="".join(f"，{CARRIERS[c]}值 {self._price(c).zh}" for c in fed),
            en="".join(f", and its {c} is worth {self._price(c).en}" for c in fed),
        )

    def _gain_per_hour(self, device: Device, flows: Mapping[str, float]) -> float:
        """Worth of what a machine makes less that of what it takes, at present prices [money/h]."""
        ends = device.buses()
        signs = {"in": 1.0, "out": -1.0}
        return sum(signs[ends[q][1]] * kw * self._price_at(ends[q][0], 0) for q, kw in flows.items())

    # Words

    def _held_by(self, device: Device, limits: Sequence[Limit]) -> Text:
        if not limits:
            return Text(zh="", en="")
        what = self._words(limits[0])
        own = limits[0].name.owner == device.id
        return Text(zh=f"（受{what.zh}限制）", en=f" at {what.en}" if own else f", held by {what.en}")

    def _words(self, limit: Limit) -> Text:
        owner, local = limit.name
        if local.startswith("peak_covers_demand"):
            return Text(zh="本计费期最大需量", en="the highest demand of the billing period")
        if local.startswith("peak_is_kept"):
            return ROWS["kept_within_power"]
        if local.startswith("day_is_borne"):
            return DAY_ABOVE
        if local.endswith("_limit") and owner == SITE:
            feeder = local.removesuffix("_limit")
            return Text(zh=f"馈线 {feeder} 容量", en=f"the limit of feeder {feeder}")
        if local.endswith("_is_generation"):
            return Text(zh="仅自发电可上网", en="the rule that only generation is exported")
        if limit.side == "row":
            return ROWS.get(local, Text(zh=f"约束 {local}", en=local.replace("_", " ")))
        if local == "energy_kwh" and getattr(self.devices.get(owner), "kind", "") == "v2g_charger":
            return FLOOR if limit.side == "low" else CAR_FULL
        return BOUNDS.get((local, limit.side), Text(zh=f"{local} 的限值", en=f"the limit of {local}"))

    def _price_at(self, carrier: Carrier, step: int) -> float:
        price = self.holding.price(carrier, step, self._hours[step])
        return price if abs(price) > PRICE_TOLERANCE else 0.0

    def _price(self, carrier: Carrier, of: str = "") -> Text:
        """The price of a carrier now, and what sets it."""
        value = self._price_at(carrier, 0)
        cause = self._cause_of_power if carrier == "power" else self._maker(carrier, of)
        return Text(
            zh=f"{value:.4f}/kWh" + (f"（{cause.zh}）" if cause else ""),
            en=f"{value:.4f}/kWh now" + (f" ({cause.en})" if cause else ""),
        )

    @cached_property
    def _cause_of_power(self) -> Text | None:
        """What sets the price of power now."""
        for device in self.devices.values():
            if "import_kw" not in device.buses():
                continue
            bought, sold = (self.holding.movement(device.id, q) for q in ("import_kw", "export_kw"))
            side = sold if sold.kw > MOVED_KW else bought
            if bought.kw <= MOVED_KW and sold.limits:
                side = sold
            if side.gap < -PRICE_TOLERANCE and side.limits:
                what = self._words(side.limits[0])
                return Text(zh=f"已达{what.zh}", en=f"held by {what.en}")
            if side is sold and sold.kw > MOVED_KW:
                return Text(zh="上网电价", en="export price")
            if bought.kw > MOVED_KW and abs(side.gap) <= PRICE_TOLERANCE:
                return self._band(0)
        return UNSERVED if self._price_at("power", 0) > LIMIT_VALUE else None

    def _maker(self, carrier: Carrier, of: str) -> Text | None:
        """The device, other than `of`, whose cost is the carrier's price."""
        for device in self.devices.values():
            main = device.main_quantity
            if device.id == of or main is None or device.buses()[main] != (carrier, "in"):
                continue
            move = self.holding.movement(device.id, main)
            if move.kw > MOVED_KW and abs(move.gap) <= PRICE_TOLERANCE:
                return Text(zh=f"由 {device.name_zh or device.id} 定", en=f"set by {device.name_en or device.id}")
        return UNSERVED if self._price_at(carrier, 0) > LIMIT_VALUE else None

    def _moment(self, carrier: Carrier, step: int) -> Text:
        clock, price, band = self._clock(self._times[step]), self._price_at(carrier, step), self._band(step)
        return Text(zh=f"{clock}（{band.zh}，{price:.4f}/kWh）", en=f"{clock} ({band.en}, {price:.4f}/kWh)")

    def _band(self, step: int) -> Text:
        name = self.situation.prices.band[step]
        return Text(zh=BANDS.get(name, name), en=name)

    @cached_property
    def _hours(self) -> list[float]:
        return [float(hours) for hours in self.situation.grid.hours]

    @cached_property
    def _times(self) -> tuple[datetime, ...]:
        return self.situation.grid.times

    def _end_of(self, step: int) -> datetime:
        return self._times[step] + timedelta(hours=self._hours[step])

    def _clock(self, at: datetime) -> str:
        """The hour in the site's zone, with the date where it is another day."""
        here, today = at.astimezone(self.zone), self.situation.grid.start.astimezone(self.zone).date()
        zone = " UTC" if self.zone is UTC else ""
        return f"{here:%H:%M}{zone}" if here.date() == today else f"{here:%m-%d %H:%M}{zone}"


def _verbs(device: Device) -> Verbs:
    return SHIFTING if getattr(device, "kind", "") == "flexible_load" else STORING


def _least_charge_kw(device: Device) -> float:
    return float(getattr(device, "min_charge_kw", 0.0))
