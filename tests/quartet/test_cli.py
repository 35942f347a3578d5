"""The commands as a user meets them: help, exit codes, messages, documents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optimizer.errors import MissingPartError
from quartet.cli import app
from quartet.documents import DOCUMENTS
from site_configs.history import read_history, sample_folder, write_history
from site_configs.loader import CheckDocument

SHIPPED = Path(__file__).parents[2] / "site_configs" / "jiashan_park.yaml"
COMMANDS = sorted(str(command.name or command.callback.__name__) for command in app.registered_commands)


def test_help_names_every_command_and_the_exit_codes(quartet):
    ran = quartet("--help")
    assert ran.code == 0
    assert all(command in ran.out for command in COMMANDS)
    assert "Exit codes" in ran.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example_that_names_it(quartet, command):
    ran = quartet(command, "--help")
    assert ran.code == 0
    assert f"Example: quartet {command}" in ran.out


def test_command_runs_from_the_shell_and_speaks_utf8():
    command = Path(sys.executable).with_name("quartet")
    done = subprocess.run([command, "sites"], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0
    assert "jiashan_park" in done.stdout
    assert "嘉善产业园" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan"], "Missing argument 'SITE'"),
        (["plan", "jiashan_park"], "Missing option '--at'"),
        (["nonsense"], "No such command"),
        (["demo", "--cycles", "0"], "--cycles"),
        (
            ["demo", "--day", "26.8.2026"],
            "error: command line: --day: must be a date such as 2026-08-26, got 26.8.2026",
        ),
        (["schema", "nope"], "error: command line: NAME: must be one of replay, plan"),
        (["check", "no_such_park"], "shipped are baoshan_steel, beijing_hotel, jiashan_park"),
        (
            ["plan", "no_such_park", "--at", "2026-08-26T08:00"],
            "shipped are baoshan_steel, beijing_hotel, jiashan_park",
        ),
        (["plan", "jiashan_park", "--at", "tomorrow"], "--at: must be a time such as 2026-08-26T08:00"),
        (["plan", "jiashan_park", "--at", "2026-08-26T08:07"], "the one before is 2026-08-26T00:00Z"),
        (["plan", "jiashan_park", "--at", "2026-08-26T08:00", "--step", "7"], "--step: must be 5, 15, 30 or 60"),
        (
            ["plan", "jiashan_park", "--at", "2026-08-26T08:00", "--data", "no/where"],
            "a history folder holds series.csv",
        ),
        (["plan", "jiashan_park", "--at", "2020-01-01T08:00"], "choose a later time"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_to_do(quartet, arguments, says):
    ran = quartet(*arguments)
    assert ran.code == 2
    assert says in " ".join((ran.out + ran.err).split())


def test_errors_go_to_standard_error_even_with_json(quartet):
    ran = quartet("plan", "no_such_park", "--at", "2026-08-26T08:00", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")


def test_a_site_file_of_ones_own_needs_its_data(quartet, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    ran = quartet("plan", str(mine), "--at", "2026-08-26T08:00")
    assert ran.code == 2
    assert "--data" in ran.err


def test_check_accepts_the_shipped_park(quartet):
    ran = quartet("check", "jiashan_park", "--json")
    assert ran.code == 0
    assert ran.json == {"site": "jiashan_park", "ok": True, "errors": []}
    assert "no errors" in quartet("check", "jiashan_park").out


def test_check_names_dirt_and_days_that_look_off_in_the_history(quartet):
    ran = quartet("check", "jiashan_park", "--data", str(sample_folder("jiashan_park")), "--json")
    assert (ran.code, ran.err) == (0, "")
    data = ran.json["data"]
    assert [(f["series"], f["kind"], f["count"]) for f in data["findings"]] == [("cold_load.demand_kw", "copied", 51)]
    days = {day["date"]: day["sure"] for day in data["closure_suggestions"]}
    assert days.keys() == {"2026-07-02", "2026-08-31", "2026-09-20", "2026-10-10"}
    assert min(days.values()) > 0.8
    assert "add it to `closures`" in quartet("check", "jiashan_park", "--data", str(sample_folder("jiashan_park"))).out


@pytest.fixture
def recorded(tmp_path):
    """A folder for eight days of the shipped park, changed as asked."""
    frame = read_history(sample_folder("jiashan_park")).frame.iloc[: 8 * 96]

    def written(change):
        write_history(tmp_path, change(frame))
        return str(tmp_path)

    return written


def test_check_names_series_that_plans_need_and_the_history_lacks(quartet, recorded):
    folder = recorded(lambda frame: frame.drop(columns="load.demand_kw"))
    ran = quartet("check", "jiashan_park", "--data", folder, "--json")
    assert (ran.code, ran.json["ok"]) == (2, False)
    assert [(e["file"], e["message"]) for e in ran.json["errors"]] == [(folder, "load.demand_kw is needed: add it")]
    assert ran.json["data"] is not None


def test_check_of_a_history_that_cannot_be_read_is_a_document_all_the_same(quartet, tmp_path):
    ran = quartet("check", "jiashan_park", "--data", str(tmp_path), "--json")
    assert (ran.code, ran.json["ok"], ran.json["data"]) == (2, False, None)
    assert "needs one of series.csv" in ran.json["errors"][0]["message"]
    assert "needs one of series.csv" in quartet("check", "jiashan_park", "--data", str(tmp_path)).out


def test_check_names_watts_in_a_column_of_kilowatts(quartet, recorded):
    folder = recorded(lambda frame: frame.assign(**{"load.demand_kw": 1000.0 * frame["load.demand_kw"]}))
    findings = quartet("check", "jiashan_park", "--data", folder, "--json").json["data"]["findings"]
    (found,) = (finding for finding in findings if finding["kind"] == "unit")
    assert (found["series"], found["count"]) == ("load.demand_kw", 8 * 96)
    assert "is the unit right?" in found["text"]


def test_check_lists_all_errors_at_once(quartet, tmp_path):
    wrong = SHIPPED.read_text(encoding="utf-8").replace("capacity_kwh: 1000", "capacity_kwh: -200")
    wrong = wrong.replace("capacity_kw: 500", "capacity_kw: 500, colour: red")
    broken = tmp_path / "broken.yaml"
    broken.write_text(wrong, encoding="utf-8")
    ran = quartet("check", str(broken), "--json")
    document = CheckDocument.model_validate(ran.json)
    assert ran.code == 2
    assert not document.ok
    assert {error.value for error in document.errors} >= {"-200", "red"}
    shown = quartet("check", str(broken))
    assert shown.code == 2
    assert "devices.4.capacity_kwh (battery1)" in shown.out


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_document_has_a_schema_with_its_fields(quartet, name):
    ran = quartet("schema", name)
    assert ran.code == 0
    fields = {field.alias or key for key, field in DOCUMENTS[name].model_fields.items()}
    assert set(ran.json["properties"]) == fields


def test_schema_without_a_name_lists_the_names(quartet):
    assert quartet("schema").out.split() == list(DOCUMENTS)


def test_a_missing_part_ends_with_3(quartet, monkeypatch):
    def unreachable(document: object) -> None:
        raise MissingPartError("no Kafka broker answers at 127.0.0.1:1: start one")

    monkeypatch.setattr("quartet.show.show_check", unreachable)
    ran = quartet("check", "jiashan_park")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "error: no Kafka broker answers at 127.0.0.1:1: start one\n"


def test_a_fault_of_our_own_ends_with_70_and_its_traceback(quartet, monkeypatch):
    def broken(document: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("quartet.show.show_check", broken)
    ran = quartet("check", "jiashan_park")
    assert (ran.code, ran.out) == (70, "")
    assert "ZeroDivisionError" in ran.err
    assert "fault of Quartet itself" in ran.err


QUARTET = str(Path(sys.executable).with_name("quartet"))


@pytest.mark.parametrize("arguments", [["schema", "site"], ["sites"], ["schema"]])
def test_a_reader_that_has_ended_is_no_answer(arguments):
    with subprocess.Popen([QUARTET, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize("arguments", [["schema", "site"], ["schema"]])
def test_a_full_disk_is_told(arguments):
    with open("/dev/full", "w") as full:
        ran = subprocess.run([QUARTET, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    message = "error: standard output cannot be written (No space left on device): make room, or write elsewhere\n"
    assert (ran.returncode, ran.stderr) == (2, message)


def test_an_interrupt_ends_with_130(monkeypatch):
    def interrupted(document: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quartet.show.show_check", interrupted)
    assert CliRunner().invoke(app, ["check", "jiashan_park"]).exit_code == 130
