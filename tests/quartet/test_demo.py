"""The whole chain: broker, engine, gateway, Modbus, plant, bill, report. The full day is `make demo`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import date, datetime
from pathlib import Path

import pytest

from optimizer.situation import Situation
from quartet.documents import DemoSummary
from streams.frozen import thaw_situation
from streams.ledger import Ledger

COMMAND = Path(sys.executable).with_name("quartet")
CYCLES = 5


def _planned_for(ledger: Ledger, interval: datetime) -> Situation:
    answer = ledger.answer("jiashan_park", interval)
    assert answer is not None
    return thaw_situation(answer.situation)


def check_whole_run(summary: DemoSummary, out: Path) -> None:
    """A run of `CYCLES` cycles that left everything it should."""
    assert (summary.cycles.count, summary.cycles.answered) == (CYCLES, CYCLES)
    assert summary.cycles.optimal + summary.cycles.feasible + summary.cycles.fallback == CYCLES
    assert summary.setpoints.sent == summary.setpoints.applied == CYCLES * 16
    assert (summary.setpoints.rejected, summary.setpoints.expired, summary.messages.dead_letters) == (0, 0, 0)
    for cost in (summary.cost.engine, summary.cost.rules, summary.cost.none):
        assert cost["total"] == pytest.approx(sum(value for name, value in cost.items() if name != "total"), abs=1e-6)
    assert summary.energy_kwh.engine["load"] == pytest.approx(summary.energy_kwh.none["load"], rel=1e-6)
    assert {path.name for path in out.iterdir()} >= {
        "summary.json",
        "report.html",
        "day.png",
        "ledger.db",
        "engine.log",
    }
    with Ledger(out / "ledger.db") as ledger:
        traces = ledger.setpoint_trace("jiashan_park")
        planned_for = [_planned_for(ledger, trace.interval) for trace in traces]
    before = summary.peak_kw["before"]
    assert all(situation.peak_so_far_kw("grid", "demand") >= before - 0.1 for situation in planned_for)
    assert len(traces) == CYCLES * 16
    assert all(trace.plan_id and trace.forecast_id for trace in traces)
    assert all("applied" in {ack.state for ack in trace.acks} for trace in traces)
    assert all(trace.readback_kw == pytest.approx(trace.target_kw, abs=0.051) for trace in traces)


def decisions(ledger_file: Path) -> list[tuple[str, float, str, str]]:
    """What the engine decided and on which plan, by setpoint."""
    with Ledger(ledger_file) as ledger:
        return [
            (trace.cmd_id, trace.target_kw, trace.plan_status, trace.plan_hash)
            for trace in ledger.setpoint_trace("jiashan_park")
        ]


@pytest.fixture(scope="module")
def embedded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on the embedded broker, by the command as a user gives it."""
    out = tmp_path_factory.mktemp("embedded") / "out"
    words = [COMMAND, "demo", "--cycles", str(CYCLES), "--out", out, "--json"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads((out / "summary.json").read_text()) == json.loads(ran.stdout)
    return out


@pytest.mark.e2e
def test_a_morning_of_the_demo(embedded_run):
    summary = DemoSummary.model_validate_json((embedded_run / "summary.json").read_text())
    assert summary.day == date(2026, 8, 26)
    check_whole_run(summary, embedded_run)


@pytest.mark.e2e
@pytest.mark.kafka
def test_on_a_real_kafka_the_same_is_decided(quartet, tmp_path, real_kafka, embedded_run):
    ran = quartet("demo", "--cycles", str(CYCLES), "--out", str(tmp_path / "out"), "--json", "--broker", real_kafka)
    assert ran.code == 0, ran.err
    check_whole_run(DemoSummary.model_validate(ran.json), tmp_path / "out")
    assert decisions(tmp_path / "out" / "ledger.db") == decisions(embedded_run / "ledger.db")


def engines_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(int(process.name))
    return found


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path, number):
    out = tmp_path / "out"
    with subprocess.Popen([COMMAND, "demo", "--out", out], stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            end = time.monotonic() + 60
            while len(engines_of(out)) < 2 and time.monotonic() < end:
                time.sleep(0.1)
            process.send_signal(number)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert engines_of(out) == []
    assert not (out / "summary.json").exists()


@pytest.mark.parametrize("day", ["2026-06-20", "2027-01-01"])
def test_a_day_the_sample_does_not_have_is_refused(quartet, tmp_path, day):
    ran = quartet("demo", "--day", day, "--out", str(tmp_path / "out"))
    assert ran.code == 2
    assert "the sample has days from 2026-07-13 to 2026-10-18" in ran.err
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_refused(quartet, tmp_path):
    (tmp_path / "out").touch()
    ran = quartet("demo", "--out", str(tmp_path / "out"))
    assert ran.code == 2
    assert "choose another folder" in ran.err
