"""`quartet hil`: verdict, exit codes, document and page."""

import pytest

from hil.scenarios.documents import HilReport
from hil.scenarios.loading import shipped_scenarios


@pytest.fixture
def failed(quartet, tmp_path):
    """A run that failed; its report lies in `tmp_path`."""
    return quartet("hil", "run", "steady_tracking", "--controller", "silent", "--json", "--out", str(tmp_path))


def test_a_scenario_that_fails_ends_with_1_and_says_why(failed, tmp_path):
    assert failed.code == 1
    report = HilReport.model_validate(failed.json)
    (result,) = report.scenarios
    assert (report.controller, report.passed, result.id, result.passed) == ("silent", False, "steady_tracking", False)
    assert "in_force" in " ".join(finding.criterion for finding in result.findings if not finding.passed)
    assert HilReport.model_validate_json((tmp_path / "report.json").read_text("utf-8")) == report
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Devices follow their setpoints" in page
    assert "未通过 FAILED" in page
    assert page.count("<svg") == 1


def test_the_page_opens_in_a_browser_without_complaint(failed, tmp_path, complaints_of):
    assert complaints_of(tmp_path / "report.html") == []


def test_a_scenario_that_passes_ends_with_0(quartet):
    ran = quartet("hil", "run", "pv_ramp_zero_export")
    assert ran.code == 0, ran.out + ran.err
    assert "1 of 1 scenarios passed" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "give scenarios by name or file, or --all"),
        (["run", "steady_tracking", "--all"], "give scenarios by name or file, or --all"),
        (["run", "steady"], "no such scenario"),
        (["run", "steady_tracking", "--controller", "best"], "must be one of engine, silent"),
    ],
)
def test_bad_input_ends_with_2(quartet, arguments, message):
    ran = quartet("hil", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_a_report_needs_a_folder(quartet, tmp_path):
    (tmp_path / "file").touch()
    ran = quartet("hil", "run", "steady_tracking", "--out", str(tmp_path / "file"))
    assert (ran.code, ran.out) == (2, "")
    assert "--out: cannot be written" in ran.err


def test_list_names_all(quartet):
    ran = quartet("hil", "list")
    assert ran.code == 0
    assert [name for name in (*shipped_scenarios(), "never_expires") if name not in ran.out] == []
