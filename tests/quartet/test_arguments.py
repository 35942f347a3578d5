"""What the user typed, as values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from optimizer.errors import InputError
from quartet.arguments import (
    output_folder,
    parse_day,
    parse_duration,
    parse_edge,
    parse_moment,
    parse_month,
    read_dates,
    require_on_step,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    "text",
    [
        "2026-08-26T08:00",
        "2026-08-26 08:00:00",
        "2026-08-26T08:00+08:00",
        "2026-08-26T00:00Z",
        "2026-08-26T02:00+02:00",
    ],
)
def test_a_moment_without_offset_is_local(text):
    assert parse_moment(text, SHANGHAI) == datetime(2026, 8, 26, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-03-29T02:30", "2026-10-25T02:30"])
def test_a_wall_time_that_is_skipped_or_repeated_is_refused(text):
    with pytest.raises(InputError, match="skips or repeats this time: give it with an offset"):
        parse_moment(text, ZoneInfo("Europe/Berlin"))


def test_a_day_is_a_date():
    assert parse_day("2026-08-26") == date(2026, 8, 26)


@pytest.mark.parametrize(("minute", "step"), [(0, 15), (45, 15), (5, 5), (30, 30)])
def test_starts_of_intervals_are_accepted(minute, step):
    require_on_step(datetime(2026, 8, 26, 3, minute, tzinfo=UTC), step)


def test_a_moment_inside_an_interval_is_refused_with_the_one_before():
    with pytest.raises(InputError, match="30-minute interval: the one before is 2026-08-26T03:00Z"):
        require_on_step(datetime(2026, 8, 26, 3, 15, tzinfo=UTC), 30)


def test_an_output_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="choose another folder"):
        output_folder(tmp_path / "file" / "below")
    assert output_folder(tmp_path / "new" / "folder").is_dir()


@pytest.mark.parametrize(("text", "minutes"), [("15min", 15), ("7h", 420), ("1.5h", 90), ("30d", 43200)])
def test_a_length_of_time(text, minutes):
    assert parse_duration(text, "--every") == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "text", ["7", "h", "-7h", "0d", "7 h", "7h30min", "", "3661d", "999999999999d", f"{'9' * 400}h"]
)
def test_other_lengths_are_refused(text):
    with pytest.raises(InputError, match="--every: must be a length of time such as 15min, 7h or 30d"):
        parse_duration(text, "--every")


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_day, "9999-12-31"),
        (parse_month, "9999-12"),
        (parse_month, "0001-01"),
        (lambda text: parse_moment(text, SHANGHAI), "9999-12-31T23:45"),
        (lambda text: parse_moment(text, SHANGHAI), "0001-01-01T00:00+08:00"),
        (lambda text: parse_edge(text, SHANGHAI, "--at"), "0001-01-01"),
    ],
)
def test_years_at_the_ends_of_the_calendar_are_refused(parse, text):
    with pytest.raises(InputError, match="the year must be 1900 to 2200"):
        parse(text)


def test_a_date_is_its_local_midnight_and_a_time_itself():
    assert parse_edge("2026-08-26", SHANGHAI, "--from") == datetime(2026, 8, 25, 16, tzinfo=UTC)
    assert parse_edge("2026-08-26T01:00", SHANGHAI, "--from") == datetime(2026, 8, 25, 17, tzinfo=UTC)


def test_dates_of_a_file_with_comments(tmp_path):
    file = tmp_path / "closed.txt"
    file.write_text("\ufeff2026-05-06\n\n# winter\n2026-12-24 # Eve\n", encoding="utf-8")
    assert read_dates(file) == (date(2026, 5, 6), date(2026, 12, 24))
