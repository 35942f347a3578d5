"""The ledger: whole or not at all, append-only, joined from setpoint to read-back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import psycopg
import pytest

from optimizer.errors import InputError, MissingPartError
from streams.decision import safe_decision
from streams.interval import close_interval
from streams.ledger import Ledger
from streams.messages import Acknowledgement, DeadLetter, PriceAnnouncement
from streams.records import Answer, LateReading, StoredModel
from streams.site_state import SiteState
from tests.streams.story import at, car, light_park, reading


def answer(quarters: int, import_kw: float = 300.0, tick_offset: int = 10) -> Answer:
    """The answer for one interval, decided on one closed quarter hour."""
    state = SiteState("light_park", at(quarters), {}, {})
    decision = safe_decision(light_park(), state, "test")
    readings = [
        reading("meter", quarters - 1, 900, import_kw=import_kw),
        reading("battery1", quarters - 1, 900, energy_kwh=500 + quarters),
        reading("ev01", quarters - 1, 900, charge_kw=7).model_copy(update={"car": car()}),
    ]
    return Answer(
        site="light_park",
        interval=at(quarters),
        closed=(close_interval(at(quarters - 1), 15, readings, {"ev01"}),),
        forecast_id=decision.forecast_id,
        forecasts=decision.forecasts,
        plan_id=decision.plan.plan_id,
        status="rules",
        plan_hash=decision.plan_hash,
        plan=decision.plan_document,
        situation=decision.situation,
        setpoints=decision.setpoints,
        partition=0,
        tick_offset=tick_offset,
    )


def ack(cmd_id: str, state: str, quarters: float = 0, readback_kw: float | None = None) -> Acknowledgement:
    return Acknowledgement(
        site="light_park",
        cmd_id=cmd_id,
        device="battery1",
        seq=1,
        state=state,
        at=at(quarters),
        readback_kw=readback_kw,
    )


REFUSED = (sqlite3.DatabaseError, psycopg.DatabaseError)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path):
    """An empty ledger in each of the stores."""
    where = tmp_path / "ledger.db"
    if request.param == "postgresql":
        where = request.getfixturevalue("postgres").fresh_database()
    with Ledger(where) as one:
        yield one


def test_an_answer_is_read_back_as_written(ledger):
    stored = ledger.record(answer(1))
    assert stored == ledger.answer("light_park", at(1))
    assert stored.plan == answer(1).plan
    assert list(stored.setpoints) == [s.encode().decode() for s in sorted_setpoints(answer(1))]
    assert not stored.sent


def sorted_setpoints(one: Answer):
    return sorted(one.setpoints, key=lambda setpoint: setpoint.device)


def test_the_first_answer_of_an_interval_stays(ledger):
    first = ledger.record(answer(1))
    again = ledger.record(replace(answer(1), plan='{"another": 1}', status="optimal"))
    assert again == first
    assert ledger.answered_intervals("light_park") == [at(1)]


def test_an_answer_that_cannot_be_written_leaves_nothing(ledger):
    double = answer(1).setpoints[0]
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        ledger.record(replace(answer(1), setpoints=(double, double)))
    assert ledger.counts() == {**dict.fromkeys(ledger.counts(), 0), "meta": 1}


def test_it_survives_being_opened_again(ledger):
    ledger.record(answer(1))
    with Ledger(ledger.path) as again:
        assert again.answered("light_park", at(1))
        assert not again.answered("light_park", at(2))


def test_unsent_answers_are_known_until_they_are_marked(ledger):
    first, second = ledger.record(answer(1)), ledger.record(answer(2))
    assert ledger.unsent("light_park") == [first, second]
    ledger.mark_sent(first.plan_id)
    assert [one.interval for one in ledger.unsent("light_park")] == [at(2)]


@pytest.mark.parametrize(
    "change", ["DELETE FROM plans", "UPDATE setpoints SET target_kw = 1", "UPDATE readings SET value = 1"]
)
def test_rows_are_not_changed(ledger, change):
    ledger.record(answer(1))
    with pytest.raises(REFUSED, match="append-only"):
        ledger._db.execute(change)


def test_metered_imports_since_a_moment(ledger):
    for quarters, import_kw in ((1, 700.0), (2, 300.0), (3, 450.0)):
        ledger.record(answer(quarters, import_kw))
    assert list(ledger.imports_kw("light_park", at(0))) == [700, 300, 450]
    assert ledger.imports_kw("light_park", at(1)).to_dict() == {at(1): 300, at(2): 450}
    assert len(ledger.imports_kw("light_park", at(9))) == 0


def test_recent_rows_have_a_column_per_signal(ledger):
    ledger.record(answer(1))
    ledger.record(answer(2, 400))
    frame = ledger.recent("light_park", at(0))
    assert list(frame.index) == [at(0), at(1)]
    assert list(frame["meter.import_kw"]) == [300, 400]
    assert ledger.recent("light_park", at(1)).shape[0] == 1
    assert ledger.recent("elsewhere", at(0)).empty


def test_last_values_and_cars(ledger):
    ledger.record(answer(1))
    ledger.record(answer(2))
    assert ledger.last_values("light_park", at(0))["battery1.energy_kwh"] == (at(1), 502)
    assert ledger.last_cars("light_park", at(0)) == {"ev01": car()}
    assert ledger.cars_since("light_park", at(0)) == [("ev01", car())]
    assert ledger.cars_since("light_park", at(9)) == []


def test_the_closing_tick_of_an_interval_is_known(ledger):
    ledger.record(answer(1, tick_offset=10))
    ledger.record(answer(3, tick_offset=30))
    assert ledger.closing_offset("light_park", at(1)) == 10
    assert ledger.closing_offset("light_park", at(2)) == 30
    assert ledger.closing_offset("light_park", at(4)) is None


def test_every_setpoint_is_joined_to_plan_forecast_and_read_back(ledger):
    stored = ledger.record(answer(1))
    ledger.mark_sent(stored.plan_id)
    before = ledger.setpoint_trace("light_park")
    assert {trace.state for trace in before} == {"sent"}
    for trace in before:
        ledger.add_acks([ack(trace.cmd_id, "accepted", 1), ack(trace.cmd_id, "applied", 1.1, trace.target_kw)])
    traces = ledger.setpoint_trace()
    assert len(traces) == len(answer(1).setpoints) > 0
    for trace in traces:
        assert (trace.plan_id, trace.plan_hash) == (stored.plan_id, answer(1).plan_hash)
        assert (trace.forecast_id, trace.forecast_issued_at) == (answer(1).forecast_id, at(1))
        assert (trace.state, trace.readback_kw) == ("applied", trace.target_kw)
        assert [one.state for one in trace.acks] == ["accepted", "applied"]
    assert ledger.forecast_document(answer(1).forecast_id) == "[]"


def test_the_same_acknowledgement_counts_once(ledger):
    ledger.record(answer(1))
    one = ack(answer(1).setpoints[0].cmd_id, "accepted")
    ledger.add_acks([one, one])
    ledger.add_acks([one])
    assert ledger.counts()["acks"] == 1


def test_dead_letters_and_late_readings_are_kept_once(ledger):
    letter = DeadLetter(topic="t", partition=1, offset=7, reason="not JSON", raw_base64="AA==")
    ledger.add_dead_letters([letter, letter])
    assert not ledger.dead_letter_sent(letter)
    ledger.mark_dead_letters_sent([letter])
    assert ledger.dead_letter_sent(letter)
    late = LateReading(reading("load", 0, demand_kw=1), at(0), "late")
    ledger.add_late([late, late])
    assert (ledger.counts()["dead_letters"], ledger.counts()["late_readings"]) == (1, 1)


def test_the_newest_model_is_found(ledger):
    assert ledger.latest_model("light_park") is None
    for day in (96, 192, 0):
        ledger.add_model(StoredModel(f"m{day}", "light_park", at(day), bytes([day]), "{}"))
    assert ledger.latest_model("light_park") == StoredModel("m192", "light_park", at(192), bytes([192]), "{}")


def test_another_file_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("these are my notes, and not a database" * 100)
    with pytest.raises(InputError, match=r"notes\.txt: ledger: not a ledger"):
        Ledger(tmp_path / "notes.txt")


def test_another_schema_is_refused(tmp_path):
    Ledger(tmp_path / "l.db").close()
    with sqlite3.connect(tmp_path / "l.db") as other:
        other.execute("DROP TRIGGER meta_fixed")
        other.execute("UPDATE meta SET value = '99'")
    other.close()
    with pytest.raises(InputError, match="schema 99, this version reads 3"):
        Ledger(tmp_path / "l.db")


def test_a_folder_that_cannot_be_made_is_a_missing_part(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MissingPartError, match="give a path that can be written"):
        Ledger(tmp_path / "file" / "l.db")


def test_every_forecast_is_kept_with_its_issue_time_and_read_as_it_was_known_then(ledger):
    answers = {quarter: answer(quarter) for quarter in range(4)}
    for quarter, one in answers.items():
        document = json.dumps([{"series": "load.demand_kw", "issued_at": at(quarter).isoformat()}])
        ledger.record(replace(one, forecasts=document))
    known = ledger.forecasts_between("light_park", at(1), at(3))
    assert [(one.forecast_id, one.issued_at) for one in known] == [(answers[n].forecast_id, at(n)) for n in (1, 2)]
    assert [one.documents[0]["issued_at"] for one in known] == [at(1).isoformat(), at(2).isoformat()]
    assert ledger.forecasts_between("elsewhere", at(0), at(9)) == []
    with pytest.raises(REFUSED, match="append-only"):
        ledger._db.execute("UPDATE forecasts SET issued_at = '2020-01-01T00:00:00Z'")


def test_what_was_announced_is_kept_once_and_found_by_its_time_of_issue(ledger):
    early, late = (
        PriceAnnouncement(
            site="light_park",
            source="exchange",
            issued_at=at(quarters),
            start=at(4),
            step_minutes=60,
            values={"market.import_price_per_kwh": (0.5, 0.6)},
        )
        for quarters in (0, 2)
    )
    ledger.add_announcements([late, early, late])
    ledger.add_announcements([early])
    assert ledger.announcements("light_park", PriceAnnouncement, at(0), at(9)) == [early, late]
    assert ledger.announcements("light_park", PriceAnnouncement, at(1), at(9)) == [late]
    assert ledger.announcements("light_park", PriceAnnouncement, at(0), at(2)) == [early]
    assert ledger.announcements("elsewhere", PriceAnnouncement, at(0), at(9)) == []


def story_in(ledger):
    """Four links: two answers, an acknowledgement, a dead letter."""
    ledger.record(answer(1))
    ledger.record(answer(2))
    ledger.add_acks([ack(answer(1).setpoints[0].cmd_id, "applied", 1.1, 0.0)])
    ledger.add_dead_letters([DeadLetter(topic="t", partition=1, offset=7, reason="not JSON", raw_base64="AA==")])


def tampered(ledger, table, statement):
    on = f" ON {table}" if str(ledger.path).startswith("postgresql") else ""
    for trigger in ("kept", "fixed"):
        ledger._db.execute(f"DROP TRIGGER {table}_{trigger}{on}")
    ledger._db.execute(statement)
    return ledger.changed()


def test_the_chain_holds_and_each_answer_names_its_link(ledger):
    story_in(ledger)
    ledger.mark_sent(answer(1).plan_id)
    assert ledger.head()[0] == 4
    assert ledger.changed() == []
    links = dict(ledger._db.query("SELECT number, hash FROM chain"))
    assert ledger.answer("light_park", at(2)).ledger_hash == links[2]


@pytest.mark.parametrize(
    ("table", "statement", "found"),
    [
        ("readings", "UPDATE readings SET value = value + 0.001 WHERE link = 2", "link 2: rows of cars, forecasts"),
        ("acks", "DELETE FROM acks", "link 3: its rows are gone"),
        ("dead_letters", "UPDATE dead_letters SET reason = 'x'", "link 4: rows of dead_letters"),
        ("setpoints", "UPDATE setpoints SET link = 1 WHERE link = 2 AND device = 'battery1'", "link 1: rows of"),
        ("chain", "UPDATE chain SET hash = 'x' WHERE number = 1", "link 1: rows of"),
        ("chain", "DELETE FROM chain WHERE number = 4", "link 4: it has rows, but is not in the chain"),
    ],
)
def test_a_change_is_seen(ledger, table, statement, found):
    story_in(ledger)
    assert any(line.startswith(found) for line in tampered(ledger, table, statement))


def test_a_row_put_in_later_is_seen(ledger):
    story_in(ledger)
    ledger._db.execute("INSERT INTO late_readings VALUES ('s', 'd', 't', 'i', 'r', 'm', 3)")
    assert [line.split(":")[0] for line in ledger.changed()] == ["link 3"]


def test_two_writers_make_one_chain(ledger):
    """Each writes while the other has its own connection open, as two workers do."""
    with Ledger(ledger.path) as other:
        for quarters in range(1, 7):
            stored = (ledger if quarters % 2 else other).record(answer(quarters))
            assert (other if quarters % 2 else ledger).record(answer(quarters, import_kw=9.0)) == stored
        assert ledger.head() == other.head()
        assert (ledger.head()[0], other.changed()) == (6, [])
