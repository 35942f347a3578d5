"""What the user typed, as values of the house; each error names the option, the value and what to do."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from optimizer.errors import InputError, Problem

DURATION = re.compile(r"(\d+(?:\.\d+)?)(min|h|d)")
MINUTES = {"min": 1, "h": 60, "d": 1440}
LONGEST_DAYS = 3660
YEARS = range(1900, 2201)
"""Years that a date may have: far from the ends of the calendar, so that horizons and months around it exist."""


def refuse(option: str, value: object, message: str) -> NoReturn:
    raise InputError([Problem("command line", option, str(value), message)])


def parse_day(text: str, option: str = "--day") -> date:
    """A local date.

    Raises:
        InputError: not a date.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        refuse(option, text, "must be a date such as 2026-08-26")
    require_year(day, text, option)
    return day


def parse_month(text: str, option: str = "--month") -> date:
    """The first day of a month given as 2026-07.

    Raises:
        InputError: it is not one.
    """
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        refuse(option, text, "must be a month such as 2026-07")
    require_year(first, text, option)
    return first


def require_year(day: date, text: str, option: str) -> None:
    """Raises InputError when the year is far from all that can be recorded or planned."""
    if day.year not in YEARS:
        refuse(option, text, f"the year must be {YEARS.start} to {YEARS.stop - 1}")


def parse_moment(text: str, zone: ZoneInfo, option: str = "--at") -> datetime:
    """A moment in UTC; without an offset the text is the wall time of `zone`.

    Raises:
        InputError: not a time, or a wall time that the zone's clock skips or shows twice.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        refuse(option, text, "must be a time such as 2026-08-26T08:00 (local) or 2026-08-26T00:00Z")
    require_year(moment, text, option)
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        refuse(option, text, f"the clock of {zone.key} skips or repeats this time: give it with an offset")
    return first.astimezone(UTC)


def parse_edge(text: str, zone: ZoneInfo, option: str) -> datetime:
    """A moment in UTC; a date alone is its local midnight.

    Raises:
        InputError: neither a date nor a time.
    """
    from site_configs.tariff import local_midnight

    try:
        day = date.fromisoformat(text)
    except ValueError:
        return parse_moment(text, zone, option)
    require_year(day, text, option)
    return local_midnight(day, zone)


def parse_duration(text: str, option: str) -> timedelta:
    """A length of time such as 15min, 7h or 30d.

    Raises:
        InputError: not a length of time, none at all, or more than ten years.
    """
    found = DURATION.fullmatch(text)
    minutes = float(found[1]) * MINUTES[found[2]] if found else 0.0
    if not 0.0 < minutes <= LONGEST_DAYS * MINUTES["d"]:
        refuse(option, text, f"must be a length of time such as 15min, 7h or 30d, {LONGEST_DAYS}d at most")
    return timedelta(minutes=minutes)


def parse_zone(text: str, option: str = "--zone") -> ZoneInfo:
    """An IANA zone.

    Raises:
        InputError: there is no such zone.
    """
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        refuse(option, text, 'must be an IANA name such as "Asia/Shanghai"')


def read_dates(path: Path) -> tuple[date, ...]:
    """The dates in a text file, one a line; empty lines and what follows a # do not count.

    Raises:
        InputError: the file cannot be read, or lines are no dates: all of them at once.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        refuse("--closures", path, f"cannot be read ({error}): give a text file with a date a line")
    texts = {number: line.partition("#")[0].strip() for number, line in enumerate(lines, start=1)}
    days, problems = [], []
    for number, text in texts.items():
        try:
            days += [date.fromisoformat(text)] if text else []
        except ValueError:
            problems.append(Problem(str(path), f"line {number}", text, "must be a date such as 2026-10-01"))
    if problems:
        raise InputError(problems)
    return tuple(days)


def parse_controller(text: str | None, option: str = "--simulate") -> Literal["rules", "none"] | None:
    """The local control named, if any.

    Raises:
        InputError: there is no such control.
    """
    if text is None:
        return None
    if text not in ("rules", "none"):
        refuse(option, text, "must be rules or none")
    return "rules" if text == "rules" else "none"


def parse_languages(text: str, option: str = "--lang") -> tuple[Literal["zh", "en"], ...]:
    """The languages asked for.

    Raises:
        InputError: another one.
    """
    if text not in ("zh", "en", "both"):
        refuse(option, text, "must be zh, en or both")
    return tuple(lang for lang in ("zh", "en") if text in (lang, "both"))


def interval_start(moment: datetime, step_minutes: int) -> datetime:
    """Start of the interval that holds the moment, in UTC."""
    return datetime.fromtimestamp(moment.timestamp() // (step_minutes * 60) * (step_minutes * 60), UTC)


def require_on_step(moment: datetime, step_minutes: int, option: str = "--at") -> None:
    """Raises InputError when the moment is not the start of an interval."""
    earlier = interval_start(moment, step_minutes)
    if earlier != moment:
        message = f"must be the start of a {step_minutes}-minute interval: the one before is {earlier:%Y-%m-%dT%H:%MZ}"
        refuse(option, f"{moment:%Y-%m-%dT%H:%M:%SZ}", message)


def require_one_place(workers: int | None, scheduler: str | None) -> None:
    """Raises InputError when parts are to be run both in processes of this machine and on a cluster."""
    if workers is not None and scheduler is not None:
        refuse("--workers", workers, "cannot go with --scheduler: a cluster has its own workers")


def data_folder(site: str, given: Path | None) -> Path:
    """The history folder: the one given, or the shipped sample of a shipped site.

    Raises:
        InputError: a site file of one's own comes without data.
    """
    from site_configs.history import sample_folder
    from site_configs.loader import shipped_sites

    if given is not None:
        return given
    if site not in shipped_sites():
        refuse("--data", "nothing", f"{site} has no shipped sample: give a history folder (docs/data-format.md)")
    return sample_folder(site)


def output_folder(path: Path, option: str = "--out") -> Path:
    """The folder, made if it is not there.

    Raises:
        InputError: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".written").touch()
        (path / ".written").unlink()
    except OSError as error:
        refuse(option, path, f"cannot be written ({error.strerror}): choose another folder")
    return path
