"""Published tariff tables as dated data: the schema of `tariffs/*.yaml`, one file per area (RULES 1.1, 1.2).

    energy_price(band) = Σ floating components · k(band) + Σ fixed components            (1)
    band of a minute: a rule for special days before the season's; in each, deep > sharp > peak > valley > flat    (2)

Every figure carries its status. Reading a table checks that every kind of day tiles 24 h exactly, that every band has
its ratio, and that the totals printed in the published table come out of (1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from site_configs.calendar import Block, Day

Status = Literal["published", "from_memory", "assumed"]
"""Seen in a published source | known but not re-read | chosen by us as plausible."""
Band = Literal["deep", "sharp", "peak", "valley", "flat"]
BANDS: tuple[Band, ...] = ("deep", "sharp", "peak", "valley", "flat")
"""In order of priority (2)."""
STATUSES: tuple[Status, ...] = ("published", "from_memory", "assumed")
"""From the most to the least certain."""
FUNDS = "funds"
"""Name of the component that is billed apart and stays out of the power-factor line (RULES 1.4b)."""
DAY_MINUTES = 24 * 60
PRICE_STEP = Decimal("0.000001")
ONE = Decimal(1)

STRICT = ConfigDict(
    frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, populate_by_name=True
)
Month = Annotated[int, Field(ge=1, le=12)]
EVERY_MONTH: tuple[Month, ...] = tuple(range(1, 13))
ComponentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Span = tuple[int, int]
"""Minutes of the local day, left-closed, right-open."""


def worst(statuses: Iterable[Status]) -> Status:
    """The least certain of some statuses."""
    return max(statuses, key=STATUSES.index)


def parse_spans(value: Any) -> Any:
    """`["22:00-02:00", ...]` as spans of minutes; one across midnight becomes two."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError('hours are a list of spans such as ["08:00-11:00", "22:00-02:00"]')
    return tuple(span for item in value for span in _parse_span(item))


def _parse_span(text: str) -> Iterator[Span]:
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError(f'"{text}" is not a span of hours: write it as "08:00-11:00"')
    start, end = _minutes(first), _minutes(last)
    if start == end:
        raise ValueError(f'"{text}" is an empty span of hours')
    if start < end:
        yield (start, end)
        return
    yield (start, DAY_MINUTES)
    if end > 0:
        yield (0, end)


def _minutes(clock: str) -> int:
    hour, colon, minute = clock.strip().partition(":")
    if not (colon and hour.isdigit() and minute.isdigit() and int(minute) < 60):
        raise ValueError(f'"{clock}" is not a time of day: write it as "08:00"')
    total = int(hour) * 60 + int(minute)
    if total > DAY_MINUTES:
        raise ValueError(f'"{clock}" is after 24:00')
    return total


Hours = Annotated[tuple[Span, ...], BeforeValidator(parse_spans)]


class Figure(BaseModel):
    """One number of a table and how sure it is."""

    model_config = STRICT
    value: Decimal
    """The number, in the unit of its field."""
    status: Status
    """Where it stands on the way from assumed to published."""


class Season(BaseModel):
    """The bands of an ordinary day in some months; together they tile 24 h exactly."""

    model_config = STRICT
    months: tuple[Month, ...] = Field(min_length=1)
    """Calendar months."""
    bands: dict[Band, Hours]
    """Hours of each band, local time."""

    @model_validator(mode="after")
    def _tiles(self) -> Season:
        edge = 0
        for start, end in sorted(span for spans in self.bands.values() for span in spans):
            if start != edge:
                raise ValueError(f"bands of months {self.months} {_gap(edge, start)}: each day must tile 24 h exactly")
            edge = end
        if edge != DAY_MINUTES:
            raise ValueError(f"bands of months {self.months} end at {_clock(edge)}: each day must tile 24 h exactly")
        return self


def _gap(edge: int, start: int) -> str:
    if start > edge:
        return f"leave {_clock(edge)}-{_clock(start)} open"
    return f"overlap between {_clock(start)} and {_clock(edge)}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


class SpecialDays(BaseModel):
    """Days for which a rule of its own holds."""

    model_config = STRICT
    kind: Literal["holiday", "rest_day"]
    """Public holidays, or ordinary weekends (a make-up workday is neither)."""
    blocks: tuple[Block, ...] = ()
    """For holidays: names of the blocks; empty: all."""
    first_days: Annotated[int, Field(ge=1)] | None = None
    """For holidays: only this many days from the start of the published block; None: all of it."""

    def holds(self, day: Day) -> bool:
        """Whether the rule holds on this day."""
        if day.kind != self.kind:
            return False
        named = not self.blocks or day.block in self.blocks
        return named and (self.first_days is None or day.ordinal <= self.first_days)


class Overlay(BaseModel):
    """Hours that lie over the season's bands (sharp over peak, deep over valley), by the priority (2)."""

    model_config = STRICT
    months: tuple[Month, ...] = EVERY_MONTH
    """Calendar months."""
    days: tuple[SpecialDays, ...] = ()
    """Days on which it holds, before any season rule; empty: every day, as part of the season rule."""
    hours: dict[Band, Hours]
    """Hours of each band, local time."""

    def holds(self, month: int, day: Day) -> bool:
        """Whether it holds in this month on such a day."""
        return month in self.months and (not self.days or any(days.holds(day) for days in self.days))


class Ratios(BaseModel):
    """The k of each band in some months."""

    model_config = STRICT
    months: tuple[Month, ...] = EVERY_MONTH
    """Calendar months."""
    k: dict[Band, Decimal]
    """Factor on the floating components; 1 in the flat band."""
    k_fixed: dict[Band, Decimal] = {}
    """Factor on the fixed components, 1 when absent. With k sharp = 1.25 · k peak and k_fixed sharp = 1.25 the sharp
    price is 1.25 times the whole peak price."""
    status: Status
    """Status of these ratios."""
    note: str = ""
    """What a reader of a bill should know about them, e.g. a difference between policy and published table."""


class Schedule(BaseModel):
    """How the energy price of some user classes changes over day and year."""

    model_config = STRICT
    classes: tuple[str, ...] = Field(min_length=1)
    """Price classes it holds for."""
    floating: tuple[ComponentName, ...]
    """Components that are multiplied by k (1); differs by province."""
    floating_status: Status
    """Status of that choice."""
    ratios: tuple[Ratios, ...] = Field(min_length=1)
    """The k; every month in exactly one entry."""
    seasons: tuple[Season, ...] = Field(min_length=1)
    """Bands of ordinary days; every month in exactly one entry."""
    overlays: tuple[Overlay, ...] = ()
    """Sharp hours of single months, deep hours of holidays."""
    status: Status
    """Status of seasons and overlays."""

    @model_validator(mode="after")
    def _complete(self) -> Schedule:
        _every_month_once("ratios", self.ratios)
        _every_month_once("seasons", self.seasons)
        for month in EVERY_MONTH:
            k = self.ratios_of(month).k
            used = {band for day in representative_days() for _, _, band in self.bands(month, day)}
            if missing := used - set(k):
                raise ValueError(f"no ratio k in month {month} for band {', '.join(sorted(missing))}")
        return self

    def ratios_of(self, month: int) -> Ratios:
        """The k in force in a calendar month."""
        return next(ratios for ratios in self.ratios if month in ratios.months)

    def bands(self, month: int, day: Day) -> tuple[tuple[int, int, Band], ...]:
        """(start minute, end minute, band) over the local day, by rule (2); tiles 24 h exactly.

        Raises:
            ValueError: a stretch of the day has no band.
        """
        season = next(season for season in self.seasons if month in season.months)
        held = [overlay for overlay in self.overlays if overlay.holds(month, day)]
        special = [overlay.hours for overlay in held if overlay.days]
        ordinary = [season.bands, *(overlay.hours for overlay in held if not overlay.days)]
        pieces: list[tuple[int, int, Band]] = []
        for start, end in pairwise(_edges([*special, *ordinary])):
            band = _band_at(start, special) or _band_at(start, ordinary)
            if band is None:
                raise ValueError(f"month {month}, {day.kind}: {_clock(start)}-{_clock(end)} has no band")
            if pieces and pieces[-1][2] == band:
                pieces[-1] = (pieces[-1][0], end, band)
            else:
                pieces.append((start, end, band))
        return tuple(pieces)


def _every_month_once(name: str, entries: Iterable[Season | Ratios]) -> None:
    months = sorted(month for entry in entries for month in entry.months)
    if months != list(EVERY_MONTH):
        raise ValueError(f"{name} must name every month 1..12 exactly once, got {months}")


def _edges(layers: list[dict[Band, Hours]]) -> list[int]:
    inner = {edge for layer in layers for spans in layer.values() for span in spans for edge in span}
    return sorted(inner | {0, DAY_MINUTES})


def _band_at(minute: int, layers: list[dict[Band, Hours]]) -> Band | None:
    for band in BANDS:
        if any(start <= minute < end for layer in layers for start, end in layer.get(band, ())):
            return band
    return None


def representative_days() -> Iterator[Day]:
    """One day of every kind a rule can tell apart."""
    yield from (Day("workday"), Day("rest_day"), Day("makeup_day"))
    for block in ("new_years_day", "spring_festival", "labour_day", "mid_autumn_festival", "national_day"):
        yield from (Day("holiday", block, ordinal) for ordinal in range(1, 10))


class Version(BaseModel):
    """One tariff document and the days it is in force."""

    model_config = STRICT
    document: str
    """Number of the document."""
    effective_from: date
    """First local day."""
    effective_to: date | None = None
    """Last local day; None: until further notice."""
    source: str
    """Where its content was read."""
    schedules: tuple[Schedule, ...] = Field(min_length=1)
    """Time-of-use rules by user class."""

    def schedule(self, price_class: str) -> Schedule | None:
        """The rules for a class; None when the document has none for it."""
        return next((schedule for schedule in self.schedules if price_class in schedule.classes), None)

    def holds(self, day: date) -> bool:
        """Whether it is in force on a local date."""
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)


class Rebate(BaseModel):
    """Lower demand price for a well used transformer (发改价格〔2023〕526号)."""

    model_config = STRICT
    kwh_per_kva: Decimal
    """Imported energy per month and kVA from which it holds."""
    factor: Decimal
    """Factor on the demand price."""
    document: str
    """Number of the document."""
    status: Status
    """Status of both figures."""


class PriceRow(BaseModel):
    """The monthly price table of a class: components per kWh, and the basic charge."""

    model_config = STRICT
    classes: tuple[str, ...] = Field(min_length=1)
    """Price classes it holds for."""
    from_month: date
    """First day of the first month."""
    to_month: date | None = None
    """First day of the last month; None: until a later row."""
    source: str
    """Where the figures were read, or why they were assumed."""
    energy: dict[ComponentName, Figure] = Field(min_length=1)
    """Flat price of each component [money/kWh]: purchase, line_loss, transmission_distribution, system_operation,
    funds; other names are allowed."""
    demand_per_kw: Figure
    """Price of one kW of maximum demand per month."""
    capacity_per_kva: Figure
    """Price of one kVA of transformer capacity per month."""
    rebate: Rebate | None = None
    """Load-factor rebate on the demand price."""
    published_totals: dict[Band, Decimal] = {}
    """Energy prices printed in the published table; they must follow from the components (1)."""

    @model_validator(mode="after")
    def _whole_months(self) -> PriceRow:
        if self.from_month.day != 1 or (self.to_month is not None and self.to_month.day != 1):
            raise ValueError("from_month and to_month are first days of months, e.g. 2026-07-01")
        return self

    def holds(self, price_class: str, day: date) -> bool:
        """Whether it prices this class on this local date."""
        month = day.replace(day=1)
        last = self.to_month is None or month <= self.to_month
        return price_class in self.classes and self.from_month <= month and last


def component_prices(row: PriceRow, ratios: Ratios, band: Band, floating: Iterable[str]) -> dict[str, Decimal]:
    """Price of each component in a band, exact (1) [money/kWh]."""
    k, k_fixed = ratios.k[band], ratios.k_fixed.get(band, ONE)
    moving = set(floating)
    return {name: figure.value * (k if name in moving else k_fixed) for name, figure in row.energy.items()}


def total_price(components: Mapping[str, Decimal]) -> Decimal:
    """Their sum as tables print it: six decimals, half up [money/kWh]."""
    return sum(components.values(), Decimal(0)).quantize(PRICE_STEP, ROUND_HALF_UP)


class TariffTable(BaseModel):
    """All published versions and prices of one area."""

    model_config = STRICT
    area: str
    """Name used in site files."""
    name_zh: str
    name_en: str
    currency: str
    """Money of all prices."""
    versions: tuple[Version, ...] = Field(min_length=1)
    """Time-of-use documents, in order, without overlap."""
    prices: tuple[PriceRow, ...] = Field(min_length=1)
    """Monthly prices; of rows that overlap the later one holds."""

    @model_validator(mode="after")
    def _consistent(self) -> TariffTable:
        for before, after in pairwise(self.versions):
            if before.effective_to is None or before.effective_to >= after.effective_from:
                raise ValueError(f"{before.document} and {after.document} overlap: give effective_to")
        for row in self.prices:
            for price_class in row.classes:
                self._check_totals(row, price_class)
        return self

    def _check_totals(self, row: PriceRow, price_class: str) -> None:
        version = self.version(row.from_month)
        schedule = None if version is None else version.schedule(price_class)
        if schedule is None:
            raise ValueError(f"prices of {price_class} from {row.from_month}: no document with a schedule for it then")
        if unknown := set(schedule.floating) - set(row.energy):
            raise ValueError(f"prices of {price_class} from {row.from_month} lack the floating {sorted(unknown)}")
        ratios = schedule.ratios_of(row.from_month.month)
        for band, printed in row.published_totals.items():
            found = total_price(component_prices(row, ratios, band, schedule.floating))
            if found != printed:
                raise ValueError(
                    f"{price_class} {row.from_month} {band}: components give {found}, printed is {printed}"
                )

    @property
    def classes(self) -> tuple[str, ...]:
        """Price classes with prices, sorted."""
        return tuple(sorted({price_class for row in self.prices for price_class in row.classes}))

    def version(self, day: date) -> Version | None:
        """The document in force on a local date."""
        return next((version for version in self.versions if version.holds(day)), None)

    def price_row(self, price_class: str, day: date) -> PriceRow | None:
        """The prices of a class on a local date."""
        rows = [row for row in self.prices if row.holds(price_class, day)]
        return max(rows, key=lambda row: row.from_month, default=None)
