"""The tariff of one site: for any stretch of time the band, the price of each component, the total and the document.

A version of the tariff begins and ends at local midnight; bands are hours of the local day. Prices are exact decimals;
the total is rounded to six decimals as published tables print it (RULES 1.1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, cached_property
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import ValidationError

from optimizer.errors import InputError, Problem
from optimizer.time_grid import Array
from site_configs.calendar import Calendar
from site_configs.custom_tariff import CustomTariff, DemandCharge
from site_configs.problems import problems_of
from site_configs.site import OwnTariff, Site
from site_configs.tariff_table import (
    BANDS,
    DAY_MINUTES,
    Band,
    PriceRow,
    Rebate,
    Schedule,
    Status,
    TariffTable,
    Version,
    component_prices,
    total_price,
    worst,
)
from site_configs.yaml_text import package_names, package_text, parse_yaml


@dataclass(frozen=True)
class BandPrice:
    """What a kWh costs in one band under one document and price table."""

    band: str
    """Name of the band: of a published table one of `BANDS`, else as the site file calls it."""
    components: Mapping[str, Decimal]
    """By component, exact [money/kWh]; without the market price where that comes from the data."""
    total: Decimal
    """Their sum, six decimals [money/kWh]."""
    floating: frozenset[str]
    """Components whose price differs by band."""
    document: str
    version: date
    """First local day of the document's version."""
    price_month: date
    """First month of the price table used."""
    status: Status
    """The least certain status of all figures used."""
    note: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for prices that belong on one bill line."""
        return (self.version, self.price_month, self.band, *self.components.items())


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one price; UTC, left-closed, right-open."""

    start: datetime
    end: datetime
    price: BandPrice

    @property
    def hours(self) -> float:
        return (self.end - self.start).total_seconds() / 3600.0


@dataclass(frozen=True)
class PricedDay:
    """All segments of one local day."""

    segments: tuple[Segment, ...]

    @cached_property
    def starts_s(self) -> Array:
        """(m,) start of each segment, seconds since 1970 UTC."""
        return np.array([segment.start.timestamp() for segment in self.segments])

    @cached_property
    def totals(self) -> Array:
        """(m,) total price of each segment [money/kWh]."""
        return np.array([float(segment.price.total) for segment in self.segments])

    @cached_property
    def bands(self) -> tuple[str, ...]:
        """(m,) band of each segment."""
        return tuple(segment.price.band for segment in self.segments)


@dataclass(frozen=True)
class BasicPrices:
    """The basic charge (容(需)量电费) of one billing month; RULES 1.3."""

    demand_per_kw: Decimal
    capacity_per_kva: Decimal
    rebate: Rebate | None
    document: str
    """Document of the version in force at the start of the month."""
    version: date
    status: Status


class Tariff(ABC):
    """What a site pays for a kWh at any time; how demand is billed stands in `demand_rules`."""

    from_data: bool = False
    """Whether the series of the market price is to be added to the prices given here."""

    def __init__(self, calendar: Calendar, zone: ZoneInfo) -> None:
        self.calendar = calendar
        self.zone = zone
        self._days: dict[date, PricedDay] = {}

    @property
    @abstractmethod
    def band_order(self) -> tuple[str, ...]:
        """All bands, in the order of bill lines."""

    @abstractmethod
    def _bands(self, local_date: date) -> Iterable[tuple[int, int, BandPrice]]:
        """(start minute, end minute, price) over the local day; tiles 24 h exactly."""

    def day(self, local_date: date) -> PricedDay:
        """The priced segments of a local date, without gap or overlap; kept once found.

        Raises:
            InputError: no document, no prices or no calendar for that date.
        """
        known = self._days.get(local_date)
        if known is None:
            known = self._days[local_date] = PricedDay(tuple(self._segments(local_date)))
        return known

    def days(self, start: datetime, end: datetime) -> tuple[PricedDay, ...]:
        """The local days that [start, end) touches."""
        first = start.astimezone(self.zone).date()
        last = (end - timedelta(microseconds=1)).astimezone(self.zone).date()
        return tuple(self.day(first + timedelta(days=n)) for n in range((last - first).days + 1))

    def segments(self, start: datetime, end: datetime) -> tuple[Segment, ...]:
        """The priced stretches of [start, end), clipped to it; they tile it exactly."""
        clipped = (
            Segment(max(segment.start, start), min(segment.end, end), segment.price)
            for day in self.days(start, end)
            for segment in day.segments
        )
        return tuple(segment for segment in clipped if segment.start < segment.end)

    def at(self, instant: datetime) -> BandPrice:
        """The price at an instant."""
        return self.segments(instant, instant + timedelta(microseconds=1))[0].price

    def local_date(self, instant: datetime) -> date:
        """The date of an instant at the site."""
        return instant.astimezone(self.zone).date()

    def billing_month(self, instant: datetime) -> tuple[datetime, datetime]:
        """Start and end in UTC of the billing month (the local calendar month) that contains an instant."""
        return billing_month(instant, self.zone)

    def _segments(self, local_date: date) -> Iterable[Segment]:
        for start, end, price in self._bands(local_date):
            first, last = self.moment(local_date, start), self.moment(local_date, end)
            if first < last:  # an hour that the clock skips has no length
                yield Segment(first, last, price)

    def moment(self, local_date: date, minutes: int) -> datetime:
        """UTC of so many minutes of clock time into a local date; 1440 is the next midnight."""
        if minutes == DAY_MINUTES:
            return local_midnight(local_date + timedelta(days=1), self.zone)
        clock = time(minutes // 60, minutes % 60, tzinfo=self.zone)
        return datetime.combine(local_date, clock).astimezone(UTC)


class PublishedTariff(Tariff):
    """A tariff table applied to one class of user in one place."""

    def __init__(
        self,
        table: TariffTable,
        price_class: str,
        calendar: Calendar,
        zone: ZoneInfo,
        floating: Iterable[str] | None = None,
    ) -> None:
        """`floating` replaces the table's choice of components that follow the band, where the site knows better."""
        super().__init__(calendar, zone)
        self.table = table
        self.price_class = price_class
        self._floating = None if floating is None else tuple(floating)
        self._prices: dict[tuple[int, date, date, Band], BandPrice] = {}

    @property
    def band_order(self) -> tuple[str, ...]:
        return BANDS

    def demand_price(self, month: date) -> BasicPrices:
        """The basic charge of the local billing month that contains `month`."""
        first = month.replace(day=1)
        version, row = self._version(first), self._row(first)
        status = worst([row.demand_per_kw.status, row.capacity_per_kva.status])
        demand, capacity = row.demand_per_kw.value, row.capacity_per_kva.value
        return BasicPrices(demand, capacity, row.rebate, version.document, version.effective_from, status)

    def _bands(self, local_date: date) -> Iterable[tuple[int, int, BandPrice]]:
        version = self._version(local_date)
        bands = self._schedule(version).bands(local_date.month, self.calendar.day(local_date))
        return ((start, end, self._price(version, local_date, band)) for start, end, band in bands)

    def _price(self, version: Version, local_date: date, band: Band) -> BandPrice:
        row = self._row(local_date)
        key = (local_date.month, version.effective_from, row.from_month, band)
        if key not in self._prices:
            self._prices[key] = self._find_price(version, row, local_date.month, band)
        return self._prices[key]

    def _find_price(self, version: Version, row: PriceRow, month: int, band: Band) -> BandPrice:
        schedule = self._schedule(version)
        ratios = schedule.ratios_of(month)
        floating = schedule.floating if self._floating is None else self._floating
        components = component_prices(row, ratios, band, floating)
        chosen: Status = schedule.floating_status if self._floating is None else "published"
        figures = (figure.status for figure in row.energy.values())
        return BandPrice(
            band=band,
            components=components,
            total=total_price(components),
            floating=frozenset(floating),
            document=version.document,
            version=version.effective_from,
            price_month=row.from_month,
            status=worst([schedule.status, chosen, ratios.status, *figures]),
            note=ratios.note,
        )

    def _version(self, local_date: date) -> Version:
        version = self.table.version(local_date)
        if version is None:
            raise self._missing("versions", local_date, "no tariff document is in force on this date: add its version")
        return version

    def _schedule(self, version: Version) -> Schedule:
        schedule = version.schedule(self.price_class)
        if schedule is None:
            message = f"{version.document} has no schedule for class {self.price_class}: add it"
            raise self._missing("versions", version.effective_from, message)
        return schedule

    def _row(self, local_date: date) -> PriceRow:
        row = self.table.price_row(self.price_class, local_date)
        if row is None:
            message = f"no prices of class {self.price_class} for this month: add a row"
            raise self._missing("prices", local_date, message)
        return row

    def _missing(self, path: str, local_date: date, message: str) -> InputError:
        file = f"site_configs/tariffs/{self.table.area}.yaml"
        return InputError([Problem(file, path, local_date.isoformat(), message)])


class SiteTariff(Tariff):
    """A tariff written in the site file."""

    def __init__(self, terms: CustomTariff, calendar: Calendar, zone: ZoneInfo) -> None:
        super().__init__(calendar, zone)
        self.terms = terms
        self.from_data = terms.from_data

    @property
    def band_order(self) -> tuple[str, ...]:
        return self.terms.band_names()

    def window(self, charge: DemandCharge, local_date: date) -> tuple[tuple[datetime, datetime], ...]:
        """The stretches of a local date in which a demand line counts, UTC."""
        if local_date.month not in charge.months:
            return ()
        if charge.bands:
            segments = self.day(local_date).segments
            return tuple((s.start, s.end) for s in segments if s.price.band in charge.bands)
        if self.terms.kind_of(local_date, self.calendar.day(local_date)) not in charge.kinds:
            return ()
        return tuple((self.moment(local_date, a), self.moment(local_date, b)) for a, b in charge.hours)

    def _bands(self, local_date: date) -> Iterable[tuple[int, int, BandPrice]]:
        terms = self.terms
        if local_date < terms.effective_from:
            message = f"{terms.name} is not in force on this date: give the prices from then on"
            problem = Problem("site file", "tariff.custom.effective_from", local_date.isoformat(), message)
            raise InputError([problem])
        kind = terms.kind_of(local_date, self.calendar.day(local_date))
        for start, end, band, price in terms.bands_of(local_date, kind):
            yield start, end, self._band_price(band, price)

    def _band_price(self, band: str, price: Decimal) -> BandPrice:
        components = {**({"energy": price} if self.terms.seasons else {}), **self.terms.adders}
        since = self.terms.effective_from
        total = sum(components.values(), Decimal(0))
        return BandPrice(
            band, components, total, frozenset({"energy"}), self.terms.name, since, since, self.terms.status
        )


def local_midnight(local_date: date, zone: ZoneInfo) -> datetime:
    """The start of a local date, in UTC."""
    return datetime.combine(local_date, time(0), tzinfo=zone).astimezone(UTC)


def billing_month(instant: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Start and end in UTC of the local calendar month that contains an instant."""
    first = instant.astimezone(zone).date().replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return local_midnight(first, zone), local_midnight(following, zone)


def areas() -> tuple[str, ...]:
    """Areas with a shipped tariff table."""
    return package_names("tariffs")


@cache
def shipped_table(area: str) -> TariffTable:
    """The shipped table of an area.

    Raises:
        InputError: unknown area, or the file is not a valid table.
    """
    if area not in areas():
        message = f"no such tariff area: known are {', '.join(areas())}"
        raise InputError([Problem("site_configs/tariffs", "area", area, message)])
    return read_table(package_text("tariffs", f"{area}.yaml"), f"site_configs/tariffs/{area}.yaml")


def read_table(text: str, file: str) -> TariffTable:
    """A tariff table from its YAML text, all its problems at once."""
    data = parse_yaml(text, file)
    try:
        return TariffTable.model_validate(data)
    except ValidationError as error:
        raise InputError(problems_of(error, data, file)) from error


def load_tariff(site: Site, table_of: Callable[[str], TariffTable] = shipped_table) -> Tariff:
    """The tariff a site is billed by; `table_of` gives the table of an area.

    Raises:
        InputError: unknown area, or a class the area has no prices for.
    """
    choice = site.tariff
    if isinstance(choice, OwnTariff):
        return SiteTariff(choice.custom, calendar_of(site), site.zone)
    table = table_of(choice.area)
    if choice.price_class not in table.classes:
        message = f"no such class in {table.area}: known are {', '.join(table.classes)}"
        raise InputError([Problem(f"site {site.id}", "tariff.class", choice.price_class, message)])
    return PublishedTariff(table, choice.price_class, calendar_of(site), site.zone, choice.floating)


def calendar_of(site: Site) -> Calendar:
    """The calendar of a site, with its own days off."""
    return Calendar(site.holidays, site.closures)
