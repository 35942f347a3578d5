"""What is forecast at a site: which series, of which kind, with the site's own calendar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pandas as pd

from forecasting.cleaning import Nature
from forecasting.demand import Demand
from forecasting.ev_expected import ExpectedCars, Quantity
from forecasting.findings import Finding
from forecasting.forecast import Forecast
from forecasting.kinds import FitContext, FittedSeries, PastSession, SeriesKind
from forecasting.market import Market
from forecasting.measured import Measured
from forecasting.pv import Pv
from forecasting.site_forecaster import FittedSite, SeriesCheck, SiteForecaster
from forecasting.standing import SCORE_DAYS, Issued
from forecasting.sun import Position
from forecasting.weather import Temperature
from optimizer.devices import AnyDevice
from optimizer.devices.flexible_load import FlexibleLoad
from optimizer.devices.load import Load
from optimizer.errors import Problem
from optimizer.situation import Session
from settlement.bill import market_columns
from site_configs.calendar import Calendar
from site_configs.history import History
from site_configs.prices import GRID_CARBON, grid_for
from site_configs.site import Site
from site_configs.tariff import billing_month, load_tariff

MODEL_LIFE = timedelta(days=7)
"""A model that could not be fitted again for so long is no longer used: the yardstick takes its place."""
UNLIKELY_TIMES = 3.0
"""An electric demand that is usually so many times what can be brought to it has another unit than it says."""
SCORED_EVERY = 13
"""Of the forecasts in the ledger every 13th interval's is judged: all hours of the day come in turn within a week."""


@dataclass(frozen=True)
class YardstickOnly:
    """Stands for a kind of series where no model is to be fitted: the yardstick takes its place."""

    lowest: float
    highest: float
    reason: str
    nature: Nature
    measured: bool = False

    def fit(self, past: Measured, context: FitContext) -> FittedSeries:
        raise ValueError(self.reason)


def series_kinds(site: Site) -> dict[str, SeriesKind]:
    """By series name: how each series is forecast that the site's devices use, or its prices where they come from
    the data."""
    kinds: dict[str, SeriesKind] = {name: Market(name) for name in market_columns(site, load_tariff(site))}
    if site.carbon.from_data:
        kinds[GRID_CARBON] = Market(GRID_CARBON, lowest=0.0)
    position = Position(site.latitude, site.longitude)
    for device in site.devices:
        if device.kind == "expected_cars":
            kinds |= {f"{device.id}.{name}": ExpectedCars(name, device.chargers) for name in get_args(Quantity)}
        for name in device.required_series():
            if device.kind == "pv":
                kinds[name] = Pv(device.capacity_kw, position)
            else:
                kinds[name] = Temperature() if name.startswith("weather.") else Demand()
    return kinds


def day_type_of(site: Site) -> Callable[[date], str]:
    """The kind of a local date at the site; its own days off are `closure`."""
    return day_type_on(Calendar(site.holidays, site.closures))


def day_type_on(calendar: Calendar) -> Callable[[date], str]:
    """The kind of a local date on a calendar; the site's own days off are `closure`."""

    def day_type(local_date: date) -> str:
        day = calendar.day(local_date)
        return "closure" if day.closed else day.kind

    return day_type


def site_forecaster(site: Site) -> SiteForecaster:
    """The forecaster of all series of the site."""
    return SiteForecaster(series_kinds(site), day_type_of(site), site.zone, site.step_minutes)


def fit_site(
    site: Site,
    history: pd.DataFrame,
    at: datetime,
    sessions: Sequence[Session] = (),
    published: pd.DataFrame | None = None,
    issued: Mapping[str, Sequence[Issued]] | None = None,
) -> FittedSite:
    """Models of all series as of `at`, good for every plan of their life.

    `sessions` are past stays, `published` is what was announced (`published_rows`), `issued` what was forecast over the
    last days.
    """
    later = at + MODEL_LIFE
    horizon_end = max(billing_month(later, site.zone)[1], grid_for(site, later).end)
    return site_forecaster(site).fit(_with_all(site, history), at, horizon_end, _past(sessions), published, issued)


def scored(site: Site, at: datetime) -> tuple[datetime, Callable[[datetime], bool]]:
    """From when on forecasts are judged at `at`, and which of them by their time of issue."""
    step_s = site.step_minutes * 60
    return at - timedelta(days=SCORE_DAYS), lambda issued_at: int(issued_at.timestamp()) // step_s % SCORED_EVERY == 0


def issued_by_series(cycles: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, list[Issued]]:
    """What was forecast, by series, from the forecast documents of several cycles."""
    said: dict[str, list[Issued]] = {}
    for document in chain.from_iterable(cycles):
        one = Issued.from_document(document)
        if one is not None:
            said.setdefault(document["series"], []).append(one)
    return said


def check_history(site: Site, history: pd.DataFrame, at: datetime) -> dict[str, SeriesCheck]:
    """By series: what is wrong in the history before `at`, and, of electric loads, which workdays look like days off.

    Heat and cold follow the weather, and a mild workday looks like a day off.
    """
    loads = (device for device in site.devices if isinstance(device, Load | FlexibleLoad))
    power = {device.id for device in loads if device.carrier == "power"}
    checked = site_forecaster(site).check(_with_all(site, history), at)
    found: dict[str, SeriesCheck] = {}
    for name, check in checked.items():
        if name.split(".", 1)[0] in power:
            past = history.loc[history.index < at, name] if name in history else pd.Series(dtype=float)
            found[name] = check._replace(findings=(*check.findings, *_wrong_unit(site, past)))
        else:
            found[name] = check._replace(closures=())
    return found


def lacking_columns(site: Site, history: History) -> list[Problem]:
    """Series that forecasts need and that were not recorded."""
    lacking = [name for name, kind in series_kinds(site).items() if kind.measured and name not in history.frame]
    have = ", ".join(history.frame.columns)
    return [Problem(history.source, "columns", have, f"{name} is needed: add it") for name in lacking]


def _wrong_unit(site: Site, demand: pd.Series[float]) -> Iterator[Finding]:
    """An electric demand that is usually far above what can be brought to it."""
    carried_kw = most_carried_kw(site)
    usual_kw = float(demand.median()) if demand.notna().any() else 0.0
    if usual_kw > UNLIKELY_TIMES * carried_kw:
        beyond = demand[demand > UNLIKELY_TIMES * carried_kw]
        note = f"usually {usual_kw:,.0f} kW; the connection and the site's own plants can carry {carried_kw:,.0f} kW"
        yield Finding(str(demand.name), "unit", len(beyond), beyond.index[0].to_pydatetime(), note)


def most_carried_kw(site: Site) -> float:
    """What the grid connection and the site's own plants can bring to its electric loads [kW]."""
    return sum(_greatest_kw(device) for device in site.devices)


def _greatest_kw(device: AnyDevice) -> float:
    if device.kind == "grid_connection":
        return device.import_limit_kw
    if device.kind == "chp" or device.kind == "backup_generator":
        return device.power_limit_kw
    return device.capacity_kw if device.kind == "pv" else 0.0


def yardstick_forecasts(
    site: Site, recent: pd.DataFrame, at: datetime, reason: str, published: pd.DataFrame | None = None
) -> Mapping[str, Forecast]:
    """Forecasts for a plan at `at` without any fitted model; their method names the reason.

    Prices are forecast as ever: their model is quick to fit, and what is announced must not be lost.
    """
    return yardstick_site(site, recent, at, reason, published).issue(recent, at, grid_for(site, at).end, published)


def yardstick_site(
    site: Site, recent: pd.DataFrame, at: datetime, reason: str, published: pd.DataFrame | None = None
) -> FittedSite:
    """What stands in the place of fitted models, good for plans from `at` on."""
    kinds: dict[str, SeriesKind] = {
        name: kind if isinstance(kind, Market) else YardstickOnly(kind.lowest, kind.highest, reason, kind.nature)
        for name, kind in series_kinds(site).items()
    }
    forecaster = SiteForecaster(kinds, day_type_of(site), site.zone, site.step_minutes)
    return forecaster.fit(recent, at, grid_for(site, at).end, published=published)


def published_rows(site: Site, frame: pd.DataFrame, foretold: pd.DataFrame | None) -> pd.DataFrame | None:
    """All that was announced, with the moment it was: forecasts as issued, and recorded columns that the site's
    `day_ahead` says were out the day before. Columns `issued_at`, `time` and values; None without any.
    """
    parts = [] if foretold is None else [foretold]
    rule = site.day_ahead
    columns = [name for name in rule.series if name in frame] if rule else []
    if rule and columns:
        parts.append(announced_daily(frame[columns], rule.at, ZoneInfo(rule.timezone) if rule.timezone else site.zone))
    if not parts:
        return None
    return pd.concat(parts, ignore_index=True).sort_values(["issued_at", "time"], kind="stable", ignore_index=True)


def announced_daily(frame: pd.DataFrame, at: time, zone: ZoneInfo) -> pd.DataFrame:
    """Recorded columns as they were announced: each local day's at a local time of the day before."""
    dates = pd.DatetimeIndex(frame.index).tz_convert(zone).date
    out = {day: datetime.combine(day - timedelta(days=1), at, zone).astimezone(UTC) for day in set(dates)}
    rows = frame.assign(issued_at=pd.DatetimeIndex([out[day] for day in dates]), time=frame.index)
    return rows.reset_index(drop=True)


def _with_all(site: Site, history: pd.DataFrame) -> pd.DataFrame:
    return history.reindex(columns=list(series_kinds(site)))


def _past(sessions: Sequence[Session]) -> tuple[PastSession, ...]:
    return tuple(PastSession(s.arrive, s.depart, s.energy_needed_kwh, s.charger) for s in sessions)
