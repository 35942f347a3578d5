"""What a park is: the site schema. The device classes are part of it; their docstrings are its documentation."""

from __future__ import annotations

import math
from datetime import date, time
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, model_validator

from optimizer.devices import AnyDevice
from optimizer.devices.base import DeviceId, Efficiency, NotNegative, Positive
from optimizer.services import AnyService
from site_configs.control import AnyControl, ModbusControl
from site_configs.custom_tariff import CustomTariff
from site_configs.tariff_table import STRICT


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError('unknown zone: give an IANA name such as "Asia/Shanghai"') from error
    return name


ZoneName = Annotated[str, AfterValidator(_known_zone)]


MonthName = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]


class GreenPower(BaseModel):
    """Green power (绿电) bought for some months: its environmental value is paid beside the energy."""

    model_config = STRICT
    from_month: date
    """First day of the first month."""
    to_month: date
    """First day of the last month."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Share of the imported energy [-]."""
    premium_per_kwh: NotNegative
    """Price of the environmental value [money/kWh]."""
    document: str
    """Number of the contract."""

    def holds(self, month: date) -> bool:
        """Whether it covers the local month that contains a date."""
        return self.from_month <= month.replace(day=1) <= self.to_month


class TariffChoice(BaseModel):
    """Which published tariff the site is billed by, and the choices the user has made in it."""

    model_config = STRICT
    area: str
    """Province or city whose tables apply, e.g. `zhejiang`."""
    price_class: str = Field(alias="class")
    """User class and voltage of the table, e.g. `two_part_1_10kv`."""
    demand_mode: Literal["actual", "contract", "capacity", "none"] = "actual"
    """How the basic charge is billed: by actual maximum demand, by contract demand, or by transformer capacity."""
    transformer_kva: Positive
    """Installed transformer capacity [kVA]."""
    contract_demand_kw: Positive | None = None
    """Declared maximum demand, needed in contract mode [kW]."""
    contract_rule: Literal["continuous", "jump"] = "continuous"
    """Above 105 % of the contract the base fee stays at the contract (rule A) or jumps by 5 % (rule B)."""
    motors_kva: NotNegative = 0.0
    """High-voltage motors supplied without a transformer; they count in the floor of the contract demand [kVA]."""
    power_factor_standard_percent: Literal[90, 85, 80] = 90
    """Standard of the power-factor adjustment, by user type [%]."""
    floating: tuple[str, ...] | None = None
    """Price components that follow the tariff band, where the site's bills show another choice than the table."""
    green_power: tuple[GreenPower, ...] = ()
    """Green power bought, by months."""


class OwnTariff(BaseModel):
    """The site is billed by a tariff that stands in its own file."""

    model_config = STRICT
    custom: CustomTariff
    """The tariff."""


def _kind_of_tariff(value: Any) -> str:
    own = isinstance(value, OwnTariff) or (isinstance(value, dict) and "custom" in value)
    return "custom" if own else "published"


AnyTariff = Annotated[
    Annotated[TariffChoice, Tag("published")] | Annotated[OwnTariff, Tag("custom")], Discriminator(_kind_of_tariff)
]


class Mechanism(BaseModel):
    """A contract for difference on a part of the surplus (机制电价, RULES 1.5): beside the market each kWh of it earns
    the mechanism price less the published mean price of its kind."""

    model_config = STRICT
    price_per_kwh: NotNegative
    """Mechanism price [money/kWh]."""
    kwh_per_month: NotNegative
    """Surplus that takes part, at most [kWh]."""
    reference_per_kwh: dict[MonthName, NotNegative]
    """Published mean price of plants of the same kind, by month as 2026-07 [money/kWh]."""
    document: str
    """Number of the notice or contract."""


class ExportSettlement(BaseModel):
    """What surplus power fed to the grid earns; settled apart, never netted inside the month."""

    model_config = STRICT
    price_per_kwh: NotNegative = 0.0
    """Settlement price [money/kWh]."""
    from_data: bool = False
    """The price is the series `market.export_price_per_kwh` instead."""
    source: str = ""
    """Where the price comes from."""
    mechanism: Mechanism | None = None
    """The contract for difference, where the plant has one; settled by the month, not seen by plans."""


def _clock_time(text: str) -> str:
    try:
        return time.fromisoformat(text).isoformat("minutes")
    except ValueError as error:
        raise ValueError('is no time of day: write it as "13:00"') from error


class DayAhead(BaseModel):
    """When the prices and carbon factors of a day are out, where they are: from then on plans take them as known."""

    model_config = STRICT
    published_at: Annotated[str, AfterValidator(_clock_time)]
    """Local time on the day before, e.g. "12:57"; give the latest one that the market keeps to."""
    timezone: ZoneName | None = None
    """Zone of that time and of the market's days; the site's when absent."""
    series: tuple[str, ...] = ("market.import_price_per_kwh", "market.export_price_per_kwh")
    """Columns of the history that are published so."""

    @property
    def at(self) -> time:
        return time.fromisoformat(self.published_at)


class CarbonChoice(BaseModel):
    """Which grid factor the site reports by."""

    model_config = STRICT
    region: str
    """Region of the factor table, e.g. `zhejiang`; only a name where the site gives a factor of its own."""
    kg_per_kwh: NotNegative | None = None
    """The site's own factor in place of the table's [kgCO2/kWh]."""
    source: str = ""
    """Where that factor was read."""
    data_year: int | None = None
    """Year of the data behind the factor; the latest announced when absent."""
    from_data: bool = False
    """Plans count emissions by the series `grid.carbon_kg_per_kwh` instead; statements keep to the factor."""
    price_per_kg: NotNegative = 0.0
    """Price at which the plan counts emissions of import and fuel [money/kgCO2]; in no bill and no statement."""


ColumnName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*_kw$")]
"""Name of a power series of the history folder."""


class Carved(BaseModel):
    """A part of the import that is billed apart, before the rest is: lighting at another price class by a meter, a
    fixed share (定比) or a fixed energy (定量), or an EV station with a meter of its own."""

    model_config = STRICT
    id: DeviceId
    name_zh: str = ""
    name_en: str = ""
    column: ColumnName | None = None
    """Series of its own meter."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Fixed share of the import [-]."""
    kwh_per_month: Positive | None = None
    """Fixed energy of a month, spread as the import is [kWh]."""
    price_class: str | None = Field(default=None, alias="class")
    """Price class of the table; the site's own when absent."""
    basic_charge_waived: bool = False
    """An EV station free of the basic charge: its demand does not count in the site's (RULES 1.3)."""
    transformer_kva: NotNegative = 0.0
    """The transformer behind which it stands, waived where the site is billed by capacity [kVA]."""

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        given = [name for name in ("column", "share", "kwh_per_month") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of column, share and kwh_per_month, has {', '.join(given) or 'none'}")
        if self.basic_charge_waived and self.column is None:
            raise ValueError("the basic charge is waived only behind a meter of its own: give column")
        return self


class Tenant(BaseModel):
    """A user of the site who is charged a part of the utility's bill."""

    model_config = STRICT
    id: DeviceId
    name_zh: str
    name_en: str
    columns: tuple[ColumnName, ...] = Field(min_length=1)
    """Series of its meters; their sum is what it used."""


class Metering(BaseModel):
    """Meters behind the billing point."""

    model_config = STRICT
    carved: tuple[Carved, ...] = ()
    tenants: tuple[Tenant, ...] = ()


class Feeder(BaseModel):
    """Devices behind one cable, breaker or transformer: their net power stays within the limit in both directions.

    Feeders may stand behind feeders; every level's limit holds for all the devices behind it.
    """

    model_config = STRICT
    id: DeviceId
    limit_kw: Positive | None = None
    """Largest net power of the members together [kW]; may be left out where `limit_kva` is given."""
    limit_kva: Positive | None = None
    """Largest apparent power, as of a transformer [kVA]."""
    power_factor: Efficiency = 0.9
    """Power factor at which `limit_kva` is assumed to be loaded [-]; 0.9 is the usual standard (RULES 1.4)."""
    members: tuple[DeviceId, ...] = Field(min_length=1)
    """Ids of the devices and feeders directly behind it."""

    @model_validator(mode="after")
    def _is_limited(self) -> Self:
        if self.limit_kw is None and self.limit_kva is None:
            raise ValueError("has no limit: add limit_kw or limit_kva")
        return self

    @property
    def power_limit_kw(self) -> float:
        """The smaller of both limits, as power [kW]."""
        carried = math.inf if self.limit_kva is None else self.limit_kva * self.power_factor
        return min(carried, math.inf if self.limit_kw is None else self.limit_kw)


def _central_and_pairs(count: int) -> int:
    if count % 2 == 0:
        raise ValueError("must be odd: the central forecast and pairs of scenarios around it")
    return count


class UncertaintyChoice(BaseModel):
    """Plans for several courses of the forecasts at once instead of the central one alone."""

    model_config = STRICT
    scenarios: Annotated[int, Field(ge=3, le=51), AfterValidator(_central_and_pairs)] = 5
    """Courses planned for, the central one included; odd. A plan's time grows faster than their number."""
    risk_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Weight of the dearest scenarios beside the expected cost: 0 for the expected cost alone [-]."""
    risk_level: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Share of the scenarios that do not count as dear [-]: 0.8 weighs the mean of the dearest fifth."""
    correlation_hours: Positive = 4.0
    """Time after which a forecast's error has forgotten all but 1/e of itself [h], for series that do not learn it."""


class Site(BaseModel):
    """A whole park."""

    model_config = STRICT
    id: DeviceId
    name_zh: str
    name_en: str
    timezone: ZoneName
    """IANA zone of the site, used for tariffs, calendars and people."""
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    holidays: Literal["CN", "US", "GB", "none"] = "CN"
    """Public calendar that decides workdays and rest days; `GB` is that of England and Wales."""
    closures: tuple[date, ...] = ()
    """The site's own days off, local dates."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    step_minutes: Literal[5, 15, 30, 60] = 15
    """Length of a control interval [min]."""
    horizon_hours: Annotated[float, Field(ge=1, le=72)] = 24
    """How far ahead the plan has steps of the control interval [h]."""
    tail_step_hours: Annotated[float, Field(ge=1, le=24)] = 2
    """Length of the coarse steps from there to the end of the billing period [h]."""
    tariff: AnyTariff
    export: ExportSettlement = ExportSettlement()
    day_ahead: DayAhead | None = None
    """When tomorrow's prices are known; absent: prices from the data are forecast from now on."""
    carbon: CarbonChoice
    devices: tuple[AnyDevice, ...] = Field(min_length=1)
    feeders: tuple[Feeder, ...] = ()
    metering: Metering = Metering()
    """Parts of the bill: what is billed apart, and who is charged which part."""
    services: tuple[AnyService, ...] = ()
    """What the site does for the grid or holds for itself beside its own supply."""
    control: AnyControl = ModbusControl()
    """How setpoints reach the site's controllers."""
    uncertainty: UncertaintyChoice | None = None
    """How plans allow for wrong forecasts; absent: the central forecast is planned for alone."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)
