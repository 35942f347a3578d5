"""A tariff written in the site file, for any country: `tariff: {custom: {...}}` (docs/tariffs.md).

    price of a kWh = price of its band + adders + market price where `from_data`                     (1)
    band of a minute: season of the date -> kind of the day -> hours of the band                     (2)

Every date lies in exactly one season, every season has every kind of day exactly once, and the bands of each tile 24 h:
all of it is checked when the file is read. A make-up workday counts as a workday.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from site_configs.calendar import Day
from site_configs.tariff_table import DAY_MINUTES, EVERY_MONTH, STRICT, ComponentName, Hours, Month, Span, Status

KindOfDay = Literal["workday", "rest_day", "holiday"]
KINDS: tuple[KindOfDay, ...] = get_args(KindOfDay)
Measuring = Literal["block_15", "block_30", "block_60", "sliding_15"]
"""How demand is measured: the mean over clock blocks of so many minutes, or over a window that slides."""
MonthDay = tuple[int, int]
ALL_DAY = "all_day"
"""The band of a tariff without seasons."""
LEAP_YEAR = 2024
NOT_NEGATIVE = Field(ge=0)


def _parse_dates(value: Any) -> Any:
    """`["05-01..10-31", ...]` as pairs of (month, day), both ends included; a span may pass the end of the year."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError('dates are a list of spans such as ["05-01..10-31", "11-01..04-30"]')
    return tuple(_parse_date_span(item) for item in value)


def _parse_date_span(text: str) -> tuple[MonthDay, MonthDay]:
    first, _, last = text.partition("..")
    try:
        ends = [date.fromisoformat(f"{LEAP_YEAR}-{end.strip()}") for end in (first, last)]
    except ValueError as error:
        raise ValueError(f'"{text}" is not a span of dates: write it as "05-01..10-31"') from error
    return (ends[0].month, ends[0].day), (ends[1].month, ends[1].day)


Dates = Annotated[tuple[tuple[MonthDay, MonthDay], ...], BeforeValidator(_parse_dates)]


class CustomBand(BaseModel):
    """The hours and the price of one band."""

    model_config = STRICT
    hours: Hours
    """Local hours, e.g. `["08:30-12:00", "18:00-21:30"]`."""
    price_per_kwh: Decimal
    """Energy price, or what is added to the market price where that comes from the data [money/kWh]."""


class CustomDay(BaseModel):
    """The bands of some kinds of day; together they tile 24 h exactly."""

    model_config = STRICT
    kinds: tuple[KindOfDay, ...] = Field(default=KINDS, min_length=1)
    """Kinds of day it holds for; all when absent."""
    bands: dict[ComponentName, CustomBand] = Field(min_length=1)
    """By name of the band."""

    @model_validator(mode="after")
    def _tiles(self) -> CustomDay:
        edge = 0
        for start, end in sorted(span for band in self.bands.values() for span in band.hours):
            if start != edge:
                what = "open" if start > edge else "covered twice"
                between = f"{_clock(min(edge, start))}-{_clock(max(edge, start))}"
                raise ValueError(f"bands leave {between} {what}: each day must tile 24 h exactly")
            edge = end
        if edge != DAY_MINUTES:
            raise ValueError(f"bands end at {_clock(edge)}: each day must tile 24 h exactly")
        return self


class CustomSeason(BaseModel):
    """A part of the year with its kinds of day."""

    model_config = STRICT
    name: str
    """Shown to people, e.g. `summer`."""
    months: tuple[Month, ...] = ()
    """Whole months."""
    dates: Dates = ()
    """Or spans of dates, both ends included, e.g. `["05-15..10-14"]`."""
    days: tuple[CustomDay, ...] = Field(min_length=1)
    """Every kind of day in exactly one entry."""

    @model_validator(mode="after")
    def _every_kind_once(self) -> CustomSeason:
        if bool(self.months) == bool(self.dates):
            raise ValueError("a season has either months or dates: give one of them")
        counts = Counter(kind for day in self.days for kind in day.kinds)
        wrong = [f"{kind} {counts[kind]} times" for kind in KINDS if counts[kind] != 1]
        if wrong:
            raise ValueError(f"every kind of day must be named exactly once, got {', '.join(wrong)}")
        return self

    def holds(self, day: date) -> bool:
        """Whether a local date lies in the season."""
        at = (day.month, day.day)
        return day.month in self.months or any(
            first <= at <= last if first <= last else at >= first or at <= last for first, last in self.dates
        )

    def bands(self, kind: KindOfDay) -> dict[str, CustomBand]:
        """The bands of a kind of day."""
        return next(day.bands for day in self.days if kind in day.kinds)


class SeasonalPrice(BaseModel):
    """A price in some months."""

    model_config = STRICT
    months: tuple[Month, ...] = Field(min_length=1)
    """Calendar months."""
    price_per_kw: Annotated[Decimal, NOT_NEGATIVE]
    """Price of one kW of the month's highest demand."""


def _every_month(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [{"months": EVERY_MONTH, "price_per_kw": value}]


DemandPrices = Annotated[tuple[SeasonalPrice, ...], BeforeValidator(_every_month)]
"""A single price, or a list of prices by month."""


class DemandCharge(BaseModel):
    """One demand line: what a kW of the month's highest demand costs, and when and how demand is measured."""

    model_config = STRICT
    id: ComponentName
    """Name of the line in bills and plans."""
    price_per_kw: DemandPrices
    """One price, or a list of prices by month; months that are not listed cost nothing [money/kW]."""
    measuring: Measuring = "block_15"
    """`block_15`, `block_30`, `block_60` (clock blocks) or `sliding_15`."""
    months: tuple[Month, ...] = EVERY_MONTH
    """Months in which it is billed."""
    kinds: tuple[KindOfDay, ...] = KINDS
    """Kinds of day on which demand counts."""
    hours: Hours = ((0, DAY_MINUTES),)
    """Local hours in which demand counts."""
    bands: tuple[ComponentName, ...] = ()
    """Energy bands in which demand counts, in place of kinds and hours."""
    free_kw: Annotated[Decimal, NOT_NEGATIVE] = Decimal(0)
    """Demand that costs nothing [kW]."""

    @model_validator(mode="after")
    def _one_window(self) -> DemandCharge:
        if self.bands and {"kinds", "hours"} & self.model_fields_set:
            raise ValueError("a window is given either by bands or by kinds and hours: remove one of them")
        months = Counter(month for price in self.price_per_kw for month in price.months)
        if twice := sorted(month for month, count in months.items() if count > 1):
            raise ValueError(f"price_per_kw names months {twice} twice: each month has one price")
        return self

    @property
    def minutes(self) -> int:
        return int(self.measuring.rpartition("_")[2])

    @property
    def sliding(self) -> bool:
        return self.measuring.startswith("sliding")

    def price(self, month: int) -> Decimal:
        """Price of a kW in a calendar month; 0 where it is not billed."""
        if month not in self.months:
            return Decimal(0)
        return next((price.price_per_kw for price in self.price_per_kw if month in price.months), Decimal(0))


class Tier(BaseModel):
    """A surcharge (or rebate) on the month's energy above a threshold; billed in settlement, unknown to the plan."""

    model_config = STRICT
    above_kwh: Annotated[Decimal, NOT_NEGATIVE]
    """Energy of the billing month from which it holds [kWh]."""
    adder_per_kwh: Decimal
    """Added to the price of the energy above it; of several tiers each adds its own [money/kWh]."""


class CustomTariff(BaseModel):
    """A whole tariff as a user writes it. Money is in the site's currency, hours are of the site's zone."""

    model_config = STRICT
    name: str
    """Name of the tariff, shown on bills as the document."""
    source: str = ""
    """Where the prices were read."""
    effective_from: date
    """First local day of these prices."""
    status: Status = "published"
    """How sure the prices are."""
    seasons: tuple[CustomSeason, ...] = ()
    """Energy prices; every date in exactly one season."""
    from_data: bool = False
    """The energy price is the series `market.import_price_per_kwh`; seasons and adders are added to it."""
    adders: dict[ComponentName, Decimal] = {}
    """Fixed components per kWh, e.g. taxes, by name [money/kWh]."""
    demand: tuple[DemandCharge, ...] = ()
    """Demand lines."""
    fixed_per_month: Annotated[Decimal, NOT_NEGATIVE] = Decimal(0)
    """Charge of every billing month."""
    tiers: tuple[Tier, ...] = ()
    """Surcharges by the month's energy."""
    holidays: tuple[date, ...] = ()
    """Local dates billed as holidays, beside those of the site's calendar."""

    @model_validator(mode="after")
    def _consistent(self) -> CustomTariff:
        found = [*self._season_gaps(), *self._unknown_names()]
        if found:
            raise ValueError("; ".join(found))
        return self

    def _season_gaps(self) -> Iterator[str]:
        if not self.seasons:
            if not self.from_data:
                yield "a tariff needs seasons with prices, or from_data: true"
            return
        days = (date(LEAP_YEAR, 1, 1) + timedelta(days=n) for n in range(366))
        for count, run in groupby(days, lambda day: sum(season.holds(day) for season in self.seasons)):
            if count != 1:
                dates = list(run)
                what = "no season" if count == 0 else f"{count} seasons"
                yield f"{dates[0]:%m-%d}..{dates[-1]:%m-%d} lies in {what}: every date needs exactly one"

    def _unknown_names(self) -> Iterator[str]:
        known = self.band_names()
        for charge in self.demand:
            for band in set(charge.bands) - set(known):
                yield f"demand {charge.id} names the band {band}: known are {', '.join(known)}"
        yield from _repeated("demand line", (charge.id for charge in self.demand))
        if {"energy", "market"} & set(self.adders):
            yield "adders may not be called energy or market: choose another name"

    def band_names(self) -> tuple[str, ...]:
        """All bands in order of the file."""
        named = [name for season in self.seasons for day in season.days for name in day.bands]
        return tuple(dict.fromkeys(named)) or (ALL_DAY,)

    def kind_of(self, local_date: date, day: Day) -> KindOfDay:
        """The kind a date is billed as."""
        if local_date in self.holidays or day.kind == "holiday":
            return "holiday"
        return "rest_day" if day.kind == "rest_day" else "workday"

    def bands_of(self, local_date: date, kind: KindOfDay) -> Iterator[tuple[int, int, str, Decimal]]:
        """(start minute, end minute, band, price) over the local day, in order (2)."""
        if not self.seasons:
            yield 0, DAY_MINUTES, ALL_DAY, Decimal(0)
            return
        season = next(season for season in self.seasons if season.holds(local_date))
        bands = season.bands(kind)
        pieces: list[tuple[Span, str]] = [(span, name) for name, band in bands.items() for span in band.hours]
        for (start, end), name in sorted(pieces):
            yield start, end, name, bands[name].price_per_kwh


def _repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{what} {name} is named {count} times: give each its own id"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
