"""What was announced, as a cycle takes it: rows of values, events of the plan, limits of the grid. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from forecasting.day_types import Ints
from optimizer.events import DemandResponseEvent, Event, ReserveOffer
from optimizer.situation import ImportCap
from streams.messages import Announcement, DemandResponseCall, GridEvent, GridLimit, Islanding, ReserveAward


def announced_rows(announcements: Sequence[Announcement]) -> pd.DataFrame | None:
    """Columns `issued_at`, `time` (UTC) and values, one row for each time that an announcement speaks of."""
    if not announcements:
        return None
    counts = [len(next(iter(one.values.values()))) for one in announcements]
    issued = np.repeat([int(one.issued_at.timestamp()) for one in announcements], counts)
    times = [
        int(one.start.timestamp()) + 60 * one.step_minutes * np.arange(count, dtype=np.int64)
        for one, count in zip(announcements, counts, strict=True)
    ]
    columns: dict[str, object] = {"issued_at": _utc(issued), "time": _utc(np.concatenate(times))}
    for name in sorted({name for one in announcements for name in one.values}):
        parts = [one.values.get(name, (np.nan,) * count) for one, count in zip(announcements, counts, strict=True)]
        columns[name] = np.concatenate([np.asarray(part, dtype=float) for part in parts])
    return _in_order([pd.DataFrame(columns)])


def joined(published: pd.DataFrame | None, news: pd.DataFrame | None) -> pd.DataFrame | None:
    """Recorded and live announcements in one table, by `issued_at`."""
    parts = [part for part in (published, news) if part is not None and len(part)]
    if not parts:
        return published
    return parts[0] if len(parts) == 1 else _in_order(parts)


def holding(events: Iterable[GridEvent], at: datetime) -> list[GridEvent]:
    """Of each event what was said last; without those withdrawn or over at `at`. `events` are in order of issue."""
    newest = {event.event_id: event for event in events}
    return [event for event in newest.values() if not event.withdrawn and event.end > at]


def planned_events(
    events: Iterable[GridEvent], imports_kw: pd.Series[float], at: datetime, step: timedelta
) -> tuple[Event, ...]:
    """Calls and awards as the plan takes them, with what was responded so far by the meter (means by UTC start)."""
    return tuple(
        _call(event, imports_kw, at, step) if isinstance(event, DemandResponseCall) else _award(event)
        for event in sorted(events, key=lambda event: (event.start, event.event_id))
        if isinstance(event, DemandResponseCall | ReserveAward)
    )


def caps_at(events: Iterable[GridEvent], at: datetime, step: timedelta) -> tuple[ImportCap, ...]:
    """Limits that hold in some part of the interval at `at`."""
    caps = []
    for event in events:
        if event.start >= at + step:
            continue
        if isinstance(event, GridLimit):
            reason = f"limit of the grid until {_time(event.end)}: {event.why}"
            caps.append(ImportCap(event.import_kw, event.end, reason, event.export_kw))
        elif isinstance(event, Islanding):
            caps.append(ImportCap(0.0, event.end, f"island until {_time(event.end)}: {event.why}", 0.0))
    return tuple(caps)


def _utc(seconds: Ints) -> pd.DatetimeIndex:
    return pd.to_datetime(seconds, unit="s", utc=True).as_unit("s")


def _in_order(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(frames, ignore_index=True)
    return whole.sort_values(["issued_at", "time"], kind="stable", ignore_index=True)


def _call(event: DemandResponseCall, imports_kw: pd.Series[float], at: datetime, step: timedelta) -> Event:
    call = DemandResponseEvent(
        id=event.event_id,
        service=event.service,
        start=event.start.astimezone(UTC),
        end=event.end.astimezone(UTC),
        bid_kw=event.bid_kw,
        price_per_kwh=event.price_per_kwh,
        baseline_kw=event.baseline_kw,
        baseline_minutes=event.baseline_minutes,
        direction=event.direction,
    )
    return replace(call, responded_kwh=responded_kwh(call, imports_kw, at, step)) if at > call.start else call


def responded_kwh(event: DemandResponseEvent, imports_kw: pd.Series[float], at: datetime, step: timedelta) -> float:
    """Baseline less import (more for a fill), over the measured intervals of the event before `at`."""
    length = timedelta(minutes=event.baseline_minutes)
    responded = 0.0
    for start, kw in zip(pd.DatetimeIndex(imports_kw.index).to_pydatetime(), imports_kw.tolist(), strict=True):
        overlap = min(start + step, event.end, at) - max(start, event.start)
        if overlap > timedelta(0):
            place = min(int((max(start, event.start) - event.start) / length), len(event.baseline_kw) - 1)
            responded += event.sign * (event.baseline_kw[place] - kw) * (overlap / timedelta(hours=1))
    return responded


def _award(event: ReserveAward) -> ReserveOffer:
    return ReserveOffer(
        id=event.event_id,
        service=event.service,
        start=event.start.astimezone(UTC),
        end=event.end.astimezone(UTC),
        price_per_kw_h=event.price_per_kw_h,
        up_kw=event.up_kw,
        down_kw=event.down_kw,
    )


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
