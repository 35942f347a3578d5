"""Energy performance contracts (合同能源管理, GB/T 24915-2020) as files: the schema, and what must add up in them.

| kind | 类型 | who invests | money |
|---|---|---|---|
| shared | 节能效益分享型 | ESCO | a share of the verified savings each; the assets pass to the owner free at the end |
| guaranteed | 节能量保证型 | owner | the owner keeps the savings; the ESCO pays what is short of the guarantee |
| custody | 能源费用托管型 | ESCO | the owner pays an indexed fee; the ESCO pays the real bills and keeps the rest |
| lease | 融资租赁型 | lessor | the owner pays rent; the ESCO guarantees savings; the title passes at the end |

Shares are of the ESCO and of the owner and add up to 1 in every contract year of every stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from optimizer.devices.base import DeviceId
from optimizer.errors import InputError, Problem
from settlement.counterfactual import DEVICE_KINDS, StreamKind
from settlement.metered_month import FINAL_COVERAGE, LEAST_COVERAGE
from site_configs.problems import problems_of, shown
from site_configs.site import ColumnName, Site
from site_configs.tariff_table import STRICT
from site_configs.yaml_text import parse_yaml

Fraction = Annotated[Decimal, Field(ge=0, le=1)]
NotNegativeMoney = Annotated[Decimal, Field(ge=0)]
MonthText = Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")]


class Party(BaseModel):
    """Who signs."""

    model_config = STRICT
    name_zh: str
    name_en: str


class YearShare(BaseModel):
    """How a stream's savings are shared in some contract years."""

    model_config = STRICT
    from_year: Annotated[int, Field(ge=1)]
    to_year: Annotated[int, Field(ge=1)]
    esco: Fraction
    owner: Fraction


class Stream(BaseModel):
    """One measure whose savings are verified by themselves."""

    model_config = STRICT
    id: DeviceId
    kind: StreamKind
    name_zh: str
    name_en: str
    devices: tuple[DeviceId, ...] = ()
    """Devices of the site whose metered flows are the measure; none for efficiency."""
    column: ColumnName | None = None
    """For efficiency: the meter of the load that was made more efficient."""
    baseline_from: date | None = None
    baseline_to: date | None = None
    """For efficiency: first and last local day before the measure."""
    commissioned: date
    """From this local day on it saves."""
    shares: tuple[YearShare, ...] = ()
    """For shared contracts: every contract year once."""
    meter_accuracy_percent: Annotated[float, Field(gt=0, le=5)] = 0.5
    """Accuracy class of the stream's own meters [%]."""


class Receipt(BaseModel):
    """Money received for a month."""

    model_config = STRICT
    month: MonthText
    amount: Decimal
    document: str


class SideIncome(BaseModel):
    """What the project earns beside its savings: subsidies, demand response, surplus of carbon quota."""

    model_config = STRICT
    id: DeviceId
    name_zh: str
    name_en: str
    esco: Fraction
    owner: Fraction
    received: tuple[Receipt, ...] = ()


class Adjustment(BaseModel):
    """A change of the baseline that no routine term explains: new tenants, a shift less; always with its evidence."""

    model_config = STRICT
    month: MonthText
    stream: DeviceId
    """Whose counterfactual it changes."""
    amount: Decimal
    """Added to the counterfactual cost, < 0 lowers the savings [money]."""
    reason_zh: str
    reason_en: str
    evidence: str


class Correction(BaseModel):
    """Money owed for an earlier month (红字 where negative); no part of this month's savings."""

    model_config = STRICT
    settled_in: MonthText
    of_month: MonthText
    esco: Decimal
    """What the ESCO gets beside, < 0 gives back."""
    reason_zh: str
    reason_en: str
    document: str


class Service(BaseModel):
    """A value-added service that belongs to the contract and must not be charged."""

    model_config = STRICT
    name_zh: str
    name_en: str
    charge: Annotated[Decimal, Field(ge=0, le=0)] = Decimal(0)
    """Always 0."""


class Tax(BaseModel):
    """Value-added tax on what the ESCO is paid (RULES 6.1: 6 %, or exempt by 财税〔2010〕110号)."""

    model_config = STRICT
    rate: Fraction = Decimal("0.06")
    included: bool = True
    """Whether amounts of the contract contain the tax."""
    document: str = ""


class Attribution(BaseModel):
    """How savings that do not add up are divided among the streams."""

    model_config = STRICT
    method: Literal["shapley", "sequential"] = "shapley"
    order: tuple[DeviceId, ...] = ()
    """For sequential: every stream once."""


class DataLimits(BaseModel):
    """From which coverage of the meters a statement is final, and below which there is none."""

    model_config = STRICT
    final_coverage: Annotated[float, Field(ge=FINAL_COVERAGE, le=1)] = FINAL_COVERAGE
    least_coverage: Annotated[float, Field(ge=LEAST_COVERAGE, le=1)] = LEAST_COVERAGE


class Meter(BaseModel):
    """A meter that the statement stands on."""

    model_config = STRICT
    column: str
    serial: str
    multiplier: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    """CT times PT ratio."""
    accuracy: str = ""
    """Class, e.g. 0.5S."""


class Transfer(BaseModel):
    """What happens to the assets at the end."""

    model_config = STRICT
    to: Literal["owner", "none"] = "owner"
    price: NotNegativeMoney = Decimal(0)
    assets: tuple[DeviceId, ...] = ()
    """Devices of the site."""


class _Contract(BaseModel):
    model_config = STRICT
    number: str
    site: DeviceId
    owner: Party
    esco: Party
    signed: date
    start: date
    """First day of the first contract month."""
    years: Annotated[int, Field(ge=1, le=30)] = 10
    counterfactual: Literal["no_assets", "rules"] = "no_assets"
    """The site without the measures, or with them under the agreed simple local control (one stream, `dispatch`)."""
    streams: tuple[Stream, ...] = Field(min_length=1)
    attribution: Attribution = Attribution()
    confidence: Annotated[float, Field(ge=0.68, le=0.99)] = 0.90
    """Of the uncertainties stated."""
    data: DataLimits = DataLimits()
    meters: tuple[Meter, ...] = ()
    side_incomes: tuple[SideIncome, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    corrections: tuple[Correction, ...] = ()
    services: tuple[Service, ...] = ()
    tax: Tax = Tax()
    transfer: Transfer = Transfer()
    dispute_days: Annotated[int, Field(ge=0)] = 15

    @property
    def end(self) -> date:
        """The day after the last."""
        return self.start.replace(year=self.start.year + self.years)

    def year_of(self, month: date) -> int:
        """The contract year of a local date, 1 for the first."""
        return (month.year - self.start.year) + (month.month >= self.start.month)

    def holds(self, month: date) -> bool:
        """Whether a month is one of the contract."""
        return self.start <= month.replace(day=1) < self.end


class SharedContract(_Contract):
    """节能效益分享型: the ESCO invests and keeps the assets until the end."""

    kind: Literal["shared"]
    years: Annotated[int, Field(ge=1, le=10)] = 10
    owner_investment: Annotated[Decimal, Field(ge=0, le=0)] = Decimal(0)
    """The owner invests nothing."""
    negative_months: Literal["floor", "carry_forward", "settle"] = "floor"
    """A month that saved less than nothing: nobody pays; it lowers the next months; or the ESCO pays its share."""


class GuaranteedContract(_Contract):
    """节能量保证型: the owner invests and keeps the savings."""

    kind: Literal["guaranteed"]
    guaranteed_rate: Annotated[Decimal, Field(ge=Decimal("0.20"), le=Decimal("0.50"))]
    """Saved share of the counterfactual that the ESCO stands for."""
    measure: Literal["kwh", "money"] = "kwh"
    """What is guaranteed: energy drawn from the grid, or its bill."""
    price_per_kwh: NotNegativeMoney | None = None
    """Contract price of a kWh short or in excess; needed for kWh."""
    excess_share_esco: Fraction = Decimal(0)
    fee_per_month: NotNegativeMoney = Decimal(0)
    """What the owner pays the ESCO for its service."""


class CustodyContract(_Contract):
    """能源费用托管型: the ESCO pays the bills out of a fixed fee."""

    kind: Literal["custody"]
    fee_per_month: NotNegativeMoney
    base_price_per_kwh: Annotated[Decimal, Field(gt=0)]
    """Mean price of a bought kWh that the fee was agreed at; the fee follows the month's."""
    output_index: dict[MonthText, Annotated[Decimal, Field(gt=0)]] = {}
    """Area or output against the agreed one, by month; 1 where absent."""


class LeaseContract(_Contract):
    """融资租赁型: a lessor owns the assets."""

    kind: Literal["lease"]
    lessor: Party
    rent_per_month: NotNegativeMoney
    guaranteed_saving_per_month: NotNegativeMoney = Decimal(0)
    """What the ESCO stands for [money]."""


Contract = SharedContract | GuaranteedContract | CustodyContract | LeaseContract
_CONTRACT: TypeAdapter[Contract] = TypeAdapter(Annotated[Contract, Field(discriminator="kind")])
KINDS = ("shared", "guaranteed", "custody", "lease")


def read_contract(file: Path, site: Site) -> Contract:
    """The contract in a YAML file.

    Raises:
        InputError: it cannot be read, or does not add up; everything that is wrong at once.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(file), "file", str(error), "cannot be read: give a contract file")]) from error
    return contract_of(parse_yaml(text, str(file)), str(file), site)


def contract_of(data: Any, file: str, site: Site) -> Contract:
    """The contract in a document; raises InputError with everything that is wrong with it."""
    if not isinstance(data, dict):
        raise InputError(
            [Problem(file, "whole file", shown(data), "must be a mapping of fields such as kind, streams")]
        )
    problems: list[Problem] = []
    contract: Contract | None = None
    try:
        contract = _CONTRACT.validate_python(data)
    except ValidationError as error:
        problems += problems_of(error, data, file)
    problems += [
        Problem(file, path, shown(value), message) for check in CHECKS for path, value, message in check(data, site)
    ]
    if problems or contract is None:
        raise InputError(problems)
    return contract


Finding = tuple[str, Any, str]
"""Path, value, message."""


def _items(data: dict[str, Any], name: str) -> list[tuple[str, dict[str, Any]]]:
    """The mappings of a list with their paths, whatever else is wrong."""
    value = data.get(name)
    items = value if isinstance(value, list) else []
    return [(f"{name}.{n}", item) for n, item in enumerate(items) if isinstance(item, dict)]


def _texts(value: Any) -> list[str]:
    """The texts of a list, whatever else is in it."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _date(value: Any) -> date | None:
    """A date as YAML gives it, or as text."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _of_this_site(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    if isinstance(data.get("site"), str) and data["site"] != site.id:
        yield "site", data["site"], f"the statement is of {site.id}: give the contract of that site"


def _starts_with_a_month(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    start, signed = _date(data.get("start")), _date(data.get("signed"))
    if start and start.day != 1:
        yield "start", start, "contract months are whole: give the first day of a month"
    if start and signed and signed > start:
        yield "signed", signed, f"is after the start {start}: correct one of them"


def _streams_are_of_the_site(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    kinds = {device.id: device.kind for device in site.devices}
    users: dict[str, str] = {}
    for path, stream in _items(data, "streams"):
        wanted = DEVICE_KINDS.get(str(stream.get("kind")))
        devices = _texts(stream.get("devices"))
        for name in devices:
            if name not in kinds:
                yield f"{path}.devices", name, f"no such device at {site.id}: known are {', '.join(kinds)}"
            elif wanted is not None and kinds[name] != wanted:
                yield f"{path}.devices", name, f"is a {kinds[name]}: a stream of {stream['kind']} takes {wanted}"
            if name in users:
                yield f"{path}.devices", name, f"is in stream {users[name]} already: a saving is shared once"
            users.setdefault(name, str(stream.get("id")))
        if wanted is not None and not devices:
            yield f"{path}.devices", "nothing", "name the devices whose metered flows are the measure"


def _efficiency_has_a_baseline(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    for path, stream in _items(data, "streams"):
        if stream.get("kind") != "efficiency":
            continue
        for name in ("column", "baseline_from", "baseline_to"):
            if stream.get(name) is None:
                yield f"{path}.{name}", "nothing", "is needed for efficiency: give the load's meter and the days before"
        first, last, begun = (_date(stream.get(name)) for name in ("baseline_from", "baseline_to", "commissioned"))
        if first and last and first > last:
            yield f"{path}.baseline_to", last, f"is before baseline_from {first}: correct one of them"
        if last and begun and last >= begun:
            yield f"{path}.baseline_to", last, f"must be before the measure was commissioned on {begun}"


def _rules_are_compared_as_a_whole(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    kinds = [stream.get("kind") for _, stream in _items(data, "streams")]
    by_rules = data.get("counterfactual", "no_assets") == "rules"
    if by_rules and kinds != ["dispatch"]:
        yield (
            "streams",
            kinds,
            "against rules there is exactly one stream, of kind dispatch: what the engine adds to them",
        )
    if not by_rules and "dispatch" in kinds:
        yield "streams", kinds, "a stream of kind dispatch needs counterfactual: rules"


def _names_are_unique(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    sections = ("streams", "side_incomes")
    named = [(path, str(item.get("id"))) for section in sections for path, item in _items(data, section)]
    counts = Counter(name for _, name in named)
    for path, name in named:
        if counts[name] > 1:
            yield f"{path}.id", name, "is used twice: every stream and income has a name of its own"


def _shares_add_up(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    for path, income in _items(data, "side_incomes"):
        yield from _whole(path, income)
    for path, stream in _items(data, "streams"):
        shares = [(f"{path}.{name}", item) for name, item in _items(stream, "shares")]
        for where, share in shares:
            yield from _whole(where, share)
        if data.get("kind") == "shared":
            yield from _every_year_once(path, shares, data.get("years", 10))
        elif shares:
            yield f"{path}.shares", len(shares), f"a {data.get('kind')} contract shares no savings: remove them"


def _whole(path: str, share: dict[str, Any]) -> Iterator[Finding]:
    parts = [share.get("esco"), share.get("owner")]
    if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in parts):
        return
    total = sum(Decimal(str(part)) for part in parts)
    if total != 1:
        what = "over" if total > 1 else "under"
        yield path, f"{parts[0]} + {parts[1]}", f"shares of ESCO and owner add up to {total}, {what} 1: correct them"


def _every_year_once(path: str, shares: list[tuple[str, dict[str, Any]]], years: Any) -> Iterator[Finding]:
    if not isinstance(years, int):
        return
    spans = [(share.get("from_year"), share.get("to_year")) for _, share in shares]
    counts = Counter(
        year
        for first, last in spans
        if isinstance(first, int) and isinstance(last, int)
        for year in range(first, min(last, years + 99) + 1)
    )
    wrong = [year for year in range(1, years + 1) if counts[year] != 1]
    beyond = sorted(year for year in counts if year > years)
    if wrong:
        yield f"{path}.shares", spans, f"contract years {wrong} have no share or two: give every year exactly one"
    if beyond:
        yield f"{path}.shares", beyond, f"years after the contract's {years}: remove them"


def _order_is_complete(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    attribution = data.get("attribution")
    if not isinstance(attribution, dict):
        return
    names = [str(stream.get("id")) for _, stream in _items(data, "streams")]
    order = _texts(attribution.get("order"))
    for name in order:
        if name not in names:
            yield "attribution.order", name, f"no such stream: known are {', '.join(map(str, names))}"
    if attribution.get("method") == "sequential" and (missing := [name for name in names if name not in order]):
        yield "attribution.order", order, f"names every stream once: add {', '.join(map(str, missing))}"


def _adjusted_streams_exist(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    streams = [stream.get("id") for _, stream in _items(data, "streams")]
    for path, item in _items(data, "adjustments"):
        if item.get("stream") not in streams:
            yield f"{path}.stream", item.get("stream"), f"no such stream: known are {', '.join(map(str, streams))}"


def _dates_are_inside(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    start, years = _date(data.get("start")), data.get("years", 10)
    if start is None or not isinstance(years, int) or not 1 <= years <= 30 or start.year > 9000:
        return
    first, last = f"{start:%Y-%m}", f"{start.replace(year=start.year + years, day=1) - timedelta(days=1):%Y-%m}"
    dated = [(path, item.get("month")) for path, item in _items(data, "adjustments")]
    dated += [(path, item.get("settled_in")) for path, item in _items(data, "corrections")]
    dated += [(path, item.get("of_month")) for path, item in _items(data, "corrections")]
    for path, income in _items(data, "side_incomes"):
        dated += [(f"{path}.{name}", item.get("month")) for name, item in _items(income, "received")]
    for path, month in dated:
        if isinstance(month, str) and not first <= month <= last:
            yield path, month, f"is outside the contract, {first} to {last}"
    for path, stream in _items(data, "streams"):
        begun = _date(stream.get("commissioned"))
        if begun and f"{begun:%Y-%m}" > last:
            yield f"{path}.commissioned", begun, f"is after the contract's end {last}"


def _corrections_look_back(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    for path, item in _items(data, "corrections"):
        settled, of = item.get("settled_in"), item.get("of_month")
        if isinstance(settled, str) and isinstance(of, str) and of >= settled:
            yield f"{path}.of_month", of, f"a correction settled in {settled} is of a month before it"


def _kwh_have_a_price(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    if data.get("kind") == "guaranteed" and data.get("measure", "kwh") == "kwh" and data.get("price_per_kwh") is None:
        yield "price_per_kwh", "nothing", "is needed where kWh are guaranteed: what a kWh short of it costs the ESCO"


def _assets_are_of_the_site(data: dict[str, Any], site: Site) -> Iterator[Finding]:
    transfer = data.get("transfer")
    known = {device.id for device in site.devices}
    for name in _texts(transfer.get("assets")) if isinstance(transfer, dict) else []:
        if name not in known:
            yield "transfer.assets", name, f"no such device at {site.id}"
    price = transfer.get("price", 0) if isinstance(transfer, dict) else 0
    if data.get("kind") == "shared" and price != 0:
        yield "transfer.price", price, "the assets of a shared contract pass to the owner free: remove the price"


CHECKS: tuple[Callable[[dict[str, Any], Site], Iterator[Finding]], ...] = (
    _of_this_site,
    _starts_with_a_month,
    _streams_are_of_the_site,
    _efficiency_has_a_baseline,
    _rules_are_compared_as_a_whole,
    _names_are_unique,
    _shares_add_up,
    _order_is_complete,
    _adjusted_streams_exist,
    _dates_are_inside,
    _corrections_look_back,
    _kwh_have_a_price,
    _assets_are_of_the_site,
)
"""What must add up beyond single fields."""
