"""Day kinds against the published lists of 2025 and 2026 (RULES 9, TV-32)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from optimizer.errors import InputError
from site_configs.calendar import Calendar, CalendarKind, CalendarOverrides, read_overrides

CHINA = Calendar("CN")


def dates(text: str) -> list[date]:
    return [date.fromisoformat(item) for item in text.split()]


def span(first: str, last: str) -> list[date]:
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


@pytest.mark.parametrize(
    "day",
    dates(
        "2026-02-14 2026-02-28 2026-01-04 2026-05-09 2026-09-20 2026-10-10 "
        "2025-01-26 2025-02-08 2025-04-27 2025-09-28 2025-10-11"
    ),
)
def test_make_up_days_are_worked(day: date) -> None:
    assert day.weekday() >= 5
    assert CHINA.day(day).kind == "makeup_day"
    assert CHINA.is_working(day)


@pytest.mark.parametrize(
    ("block", "first", "last"),
    [
        ("spring_festival", "2026-02-15", "2026-02-23"),
        ("labour_day", "2026-05-01", "2026-05-05"),
        ("national_day", "2026-10-01", "2026-10-07"),
        ("national_day", "2025-10-01", "2025-10-08"),
        ("new_years_day", "2022-12-31", "2023-01-02"),
    ],
)
def test_holidays_are_numbered_inside_their_published_block(block: str, first: str, last: str) -> None:
    days = span(first, last)
    found = [CHINA.day(day) for day in days]
    assert [(day.kind, day.block, day.ordinal) for day in found] == [
        ("holiday", block, n) for n in range(1, len(days) + 1)
    ]
    assert CHINA.day(days[0] - timedelta(days=1)).kind != "holiday"
    assert CHINA.day(days[-1] + timedelta(days=1)).kind != "holiday"


def test_the_packages_label_of_a_single_day_does_not_split_the_block() -> None:
    day = CHINA.day(date(2025, 10, 6))  # labelled Mid-autumn Festival
    assert (day.block, day.ordinal) == ("national_day", 6)


def test_weekends_inside_a_block_are_holidays_and_others_rest_days() -> None:
    assert CHINA.day(date(2026, 10, 4)).kind == "holiday"
    assert CHINA.day(date(2026, 2, 15)).kind == "holiday"
    assert CHINA.day(date(2026, 8, 29)).kind == "rest_day"
    assert CHINA.day(date(2026, 8, 26)).kind == "workday"


def test_unknown_year_names_the_file_to_extend() -> None:
    with pytest.raises(InputError, match=r"calendars/cn\.yaml: years\.2031: .*add the State Council's list"):
        CHINA.day(date(2031, 3, 3))


OVERRIDES = """
years:
  2031:
    document: 国办发明电〔2030〕1号
    holidays:
      - {block: spring_festival, first: 2031-01-22, last: 2031-01-28}
    makeup_days: [2031-01-19]
"""


def test_an_override_adds_a_year() -> None:
    calendar = Calendar("CN", overrides=read_overrides(OVERRIDES))
    assert calendar.day(date(2031, 1, 24)).ordinal == 3
    assert calendar.day(date(2031, 1, 19)).kind == "makeup_day"
    assert calendar.day(date(2031, 1, 29)).kind == "workday"
    assert calendar.day(date(2026, 10, 1)).kind == "holiday"


def test_an_override_replaces_the_packages_year() -> None:
    text = OVERRIDES.replace("2031", "2026")
    calendar = Calendar("CN", overrides=read_overrides(text))
    assert calendar.day(date(2026, 10, 1)).kind == "workday"


def test_override_with_an_unknown_field_or_block_is_refused() -> None:
    with pytest.raises(ValueError, match="block"):
        read_overrides(OVERRIDES.replace("spring_festival", "harvest"))
    with pytest.raises(ValueError, match="before it starts"):
        read_overrides(OVERRIDES.replace("2031-01-28", "2031-01-20"))


def test_a_closure_is_the_sites_day_off_and_nothing_to_the_tariff() -> None:
    calendar = Calendar("CN", [date(2026, 8, 26)])
    day = calendar.day(date(2026, 8, 26))
    assert (day.kind, day.closed, day.working) == ("workday", True, False)


def test_calendar_none_knows_weekends_only() -> None:
    calendar = Calendar("none", overrides=CalendarOverrides())
    assert calendar.day(date(2026, 10, 1)).kind == "workday"
    assert calendar.day(date(2026, 10, 10)).kind == "rest_day"
    assert calendar.day(date(2040, 1, 2)).kind == "workday"


@pytest.mark.parametrize(
    ("country", "day", "block", "ordinal"),
    [
        ("US", "2019-11-28", "thanksgiving_day", 1),
        ("US", "2026-01-19", "martin_luther_king_jr_day", 1),
        ("US", "2026-07-03", "independence_day", 1),  # the Friday before, observed
        ("US", "2026-07-04", "independence_day", 2),
        ("US", "2021-12-31", "new_years_day", 1),  # observed in the year before
        ("GB", "2019-04-22", "easter_monday", 1),  # not in Scotland
        ("GB", "2019-08-26", "late_summer_bank_holiday", 1),
        ("GB", "2022-06-03", "platinum_jubilee_of_elizabeth_ii", 1),
        ("GB", "2020-05-08", "may_day", 1),  # moved for the anniversary of 1945
    ],
)
def test_holidays_by_law(country: CalendarKind, day: str, block: str, ordinal: int) -> None:
    found = Calendar(country).day(date.fromisoformat(day))
    assert (found.kind, found.block, found.ordinal, found.working) == ("holiday", block, ordinal, False)


@pytest.mark.parametrize(
    ("country", "day", "kind"),
    [
        ("US", "2026-07-06", "workday"),
        ("US", "2026-10-01", "workday"),
        ("US", "2026-10-10", "rest_day"),
        ("US", "2026-02-14", "rest_day"),
        ("GB", "2020-05-04", "workday"),
        ("GB", "2026-11-26", "workday"),
        ("GB", "2019-08-05", "workday"),  # Scotland's
    ],
)
def test_other_days_have_no_holiday_and_no_make_up(country: CalendarKind, day: str, kind: str) -> None:
    found = Calendar(country).day(date.fromisoformat(day))
    assert (found.kind, found.block) == (kind, None)


@pytest.mark.parametrize("country", ["US", "GB"])
def test_years_without_law_are_refused_and_never_a_workday(country: CalendarKind) -> None:
    with pytest.raises(InputError, match=f"knows {country} from .* choose `none` and list the days off under closures"):
        Calendar(country).day(date(2150, 12, 25))


def test_a_closure_on_a_holiday_by_law_stays_a_holiday() -> None:
    day = Calendar("US", [date(2026, 12, 25)]).day(date(2026, 12, 25))
    assert (day.kind, day.closed) == ("holiday", True)
