"""The ledger: every reading used, forecast, plan, setpoint, acknowledgement, order and announcement.

In an SQLite file or in PostgreSQL (`streams.database`). Rows are only ever added, and each transaction is a link of a
hash chain (`streams.chain`), so that a later change is seen. Several workers may write to one ledger.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from optimizer.errors import InputError, Problem
from streams.chain import UNHASHED, LinkedRow, broken_links, link_hash, row_digest
from streams.database import Database, Row, holds_table, open_database, unreadable
from streams.messages import (
    Acknowledgement,
    CarAtCharger,
    CommandAnswer,
    DeadLetter,
    News,
    OperatorCommand,
    SetpointMessage,
)
from streams.records import (
    AckRow,
    Answer,
    LateReading,
    SetpointTrace,
    StoredAnswer,
    StoredForecast,
    StoredModel,
    Told,
)

SCHEMA = "3"
METER_IMPORT = "meter.import_kw"
_APPEND_ONLY = {
    "meta": "key, value",
    "chain": "",
    "forecasts": "",
    "plans": "",
    "readings": "",
    "cars": "",
    "setpoints": "cmd_id, site, device, interval, seq, target_kw, message, plan_id, link",
    "acks": "",
    "late_readings": "",
    "dead_letters": "letter_id, topic, reason, message, link",
    "commands": "",
    "announcements": "",
    "models": "",
}
"""By table: the columns that may not be changed; all of them when empty."""
_LINKED = tuple(table for table in _APPEND_ONLY if table not in ("meta", "chain"))
_MARKED = ("setpoints", "dead_letters")
"""Tables with a `sent` mark before the number of the link."""


class Link:
    """What one transaction adds."""

    def __init__(self, database: Database, number: int) -> None:
        self.number = number
        self.digests: dict[str, list[bytes]] = {}
        self._database = database

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Adds rows that must not be there yet."""
        whole = [self._whole(table, row) for row in rows]
        if whole:
            self._database.insert(_insertion(table, whole[0]), whole)
            self.digests.setdefault(table, []).extend(row_digest(_content(table, row)) for row in whole)

    def add_new(self, table: str, rows: Iterable[Row]) -> None:
        """Adds those rows that are not there yet."""
        for row in rows:
            whole = self._whole(table, row)
            if self._database.execute(f"{_insertion(table, whole)} ON CONFLICT DO NOTHING", whole):
                self.digests.setdefault(table, []).append(row_digest(_content(table, whole)))

    def _whole(self, table: str, row: Row) -> Row:
        return (*row, *((0,) if table in _MARKED else ()), self.number)


def _insertion(table: str, row: Row) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})"


def _content(table: str, row: Row) -> Row:
    """Without the mark and the number of the link."""
    return row[:-2] if table in _MARKED else row[:-1]


class Ledger:
    """The ledger at a path (SQLite) or at a URL `postgresql://user@host/database`, made when it is not there.

    Raises:
        InputError: it is not a ledger, or one of another version.
        MissingPartError: it cannot be opened or written.
    """

    def __init__(self, where: Path | str) -> None:
        self.path = where
        self._db = open_database(where)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def written(cls, where: Path | str) -> Ledger:
        """A ledger that is there already: nothing is made.

        Raises:
            InputError: it is not a ledger, or one of another version.
            MissingPartError: it cannot be opened.
        """
        if not holds_table(where, "meta"):
            raise InputError([Problem("command line", "ledger", str(where), "is not a ledger: give that of an engine")])
        return cls(where)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @property
    def place(self) -> str:
        """Where it stands, without a password."""
        return self._db.where

    def answered(self, site: str, interval: datetime) -> bool:
        """Whether the interval has its answer."""
        return self._one("SELECT 1 FROM plans WHERE site = ? AND interval = ?", site, _text(interval)) is not None

    def answer(self, site: str, interval: datetime) -> StoredAnswer | None:
        """The answer of one interval; None when it has none yet."""
        found = self._answers("p.site = ? AND p.interval = ?", site, _text(interval))
        return found[0] if found else None

    def unsent(self, site: str) -> list[StoredAnswer]:
        """Answers with setpoints that are not known to have been sent, oldest first."""
        return self._answers("p.plan_id IN (SELECT plan_id FROM setpoints WHERE site = ? AND sent = 0)", site)

    def answered_intervals(self, site: str) -> list[datetime]:
        """Starts of all answered intervals, in order."""
        rows = self._db.query("SELECT interval FROM plans WHERE site = ? ORDER BY interval", site)
        return [_time(row[0]) for row in rows]

    def last_answered(self, site: str) -> datetime | None:
        return self._time_of("SELECT max(interval) FROM plans WHERE site = ?", site)

    def first_answered(self, site: str) -> datetime | None:
        return self._time_of("SELECT min(interval) FROM plans WHERE site = ?", site)

    def closing_offset(self, site: str, end: datetime) -> int | None:
        """Offset of the tick that closed the interval ending at `end`; None when no answer has closed it yet."""
        row = self._one(
            "SELECT tick_offset FROM plans WHERE site = ? AND interval >= ? ORDER BY interval LIMIT 1", site, _text(end)
        )
        return None if row is None else int(row[0])

    def record(self, answer: Answer) -> StoredAnswer:
        """Writes the answer unless its interval has one, and gives what the ledger now holds for it."""
        with self._writing() as link:
            if not self.answered(answer.site, answer.interval):
                _add_answer(link, answer)
        stored = self.answer(answer.site, answer.interval)
        if stored is None:
            raise RuntimeError(f"answer of {answer.site} for {answer.interval} was written but is not in the ledger")
        return stored

    def add_setpoints(self, setpoints: Sequence[SetpointMessage]) -> None:
        """Adds revisions of setpoints that are there already; one of the same name is left."""
        self._insert_many("setpoints", [_setpoint_row(one, one.valid_from) for one in setpoints])

    def mark_sent(self, plan_id: str) -> None:
        """The answer has left; not linked, a mark is no content."""
        self._db.execute("UPDATE setpoints SET sent = 1 WHERE plan_id = ?", (plan_id,))

    def mark_setpoints_sent(self, names: Iterable[str]) -> None:
        marks = [(name,) for name in names]
        with self._db.transaction():
            self._db.insert("UPDATE setpoints SET sent = 1 WHERE cmd_id = ?", marks)

    def recent(self, site: str, since: datetime) -> pd.DataFrame:
        """Closed intervals from `since` on: one row each (UTC start), one column per signal."""
        rows = self._db.query(
            "SELECT interval, signal, value FROM readings WHERE site = ? AND interval >= ? ORDER BY interval, signal",
            site,
            _text(since),
        )
        by_interval = {
            start: {signal: value for _, signal, value in group} for start, group in groupby(rows, lambda row: row[0])
        }
        index = pd.DatetimeIndex([_time(start) for start in by_interval], tz=UTC, name="time")
        return pd.DataFrame(list(by_interval.values()), index=index, dtype=float)

    def last_values(self, site: str, since: datetime) -> dict[str, tuple[datetime, float]]:
        """By signal: the interval from `since` on in which it was measured last, and its value."""
        rows = self._db.query(
            "SELECT r.signal, r.interval, r.value FROM readings r JOIN (SELECT signal, max(interval) AS last "
            "FROM readings WHERE site = ? AND interval >= ? GROUP BY signal) m "
            "ON r.signal = m.signal AND r.interval = m.last WHERE r.site = ?",
            site,
            _text(since),
            site,
        )
        return {signal: (_time(interval), value) for signal, interval, value in rows}

    def last_cars(self, site: str, since: datetime) -> dict[str, CarAtCharger | None]:
        """By charger: the car it reported last from `since` on, None for an empty place."""
        rows = self._db.query(
            "SELECT charger, car FROM cars WHERE site = ? AND interval >= ? ORDER BY interval", site, _text(since)
        )
        last = {str(charger): car for charger, car in rows}
        return {charger: None if car is None else _car(car) for charger, car in last.items()}

    def cars_since(self, site: str, since: datetime) -> list[tuple[str, CarAtCharger]]:
        """Charger and car, as last reported, of every car that was plugged in from `since` on."""
        rows = self._db.query(
            "SELECT interval, charger, session, car FROM cars WHERE site = ? AND interval >= ? AND car IS NOT NULL "
            "ORDER BY interval, charger",
            site,
            _text(since),
        )
        last = {(charger, session): (interval, charger, car) for interval, charger, session, car in rows}
        return [(charger, _car(car)) for _, charger, car in sorted(last.values())]

    def imports_kw(self, site: str, since: datetime) -> pd.Series[float]:
        """Metered mean import of the closed intervals from `since` on, by their UTC start [kW]."""
        rows = self._db.query(
            "SELECT interval, value FROM readings WHERE site = ? AND interval >= ? "
            f"AND signal = '{METER_IMPORT}' ORDER BY interval",
            site,
            _text(since),
        )
        index = pd.DatetimeIndex([_time(start) for start, _ in rows], tz=UTC)
        return pd.Series([value for _, value in rows], index, dtype=float)

    def add_late(self, late: Iterable[LateReading]) -> None:
        rows = [
            (
                item.reading.site,
                item.reading.device,
                _text(item.reading.time),
                _text(item.interval),
                item.reason,
                item.reading.model_dump_json(),
            )
            for item in late
        ]
        self._insert_many("late_readings", rows)

    def add_dead_letters(self, letters: Iterable[DeadLetter]) -> None:
        rows = [(letter.key.decode(), letter.topic, letter.reason, letter.model_dump_json()) for letter in letters]
        self._insert_many("dead_letters", rows)

    def dead_letter_sent(self, letter: DeadLetter) -> bool:
        return self._one("SELECT 1 FROM dead_letters WHERE letter_id = ? AND sent = 1", letter.key.decode()) is not None

    def mark_dead_letters_sent(self, letters: Iterable[DeadLetter]) -> None:
        marks = [(letter.key.decode(),) for letter in letters]
        with self._db.transaction():
            self._db.insert("UPDATE dead_letters SET sent = 1 WHERE letter_id = ?", marks)

    def knows_setpoint(self, cmd_id: str) -> bool:
        return self._one("SELECT 1 FROM setpoints WHERE cmd_id = ?", cmd_id) is not None

    def add_acks(self, acks: Sequence[Acknowledgement]) -> None:
        """Adds acknowledgements of known setpoints; one that is there already is left."""
        rows = [(ack.cmd_id, ack.state, _text(ack.at), ack.readback_kw, ack.reason, n) for n, ack in enumerate(acks)]
        self._insert_many("acks", rows)

    def setpoint_trace(self, site: str | None = None) -> list[SetpointTrace]:
        """Every setpoint joined to its plan, its forecast and its acknowledgements, in order of interval and device."""
        acks: dict[str, list[AckRow]] = {}
        for cmd_id, state, at, readback, reason in self._db.query(
            "SELECT cmd_id, state, at, readback_kw, reason FROM acks ORDER BY link, place"
        ):
            acks.setdefault(cmd_id, []).append(AckRow(state, _time(at), readback, reason))
        rows = self._db.query(
            "SELECT s.cmd_id, s.site, s.device, s.interval, s.seq, s.target_kw, s.sent, p.plan_id, p.status, p.hash, "
            "f.forecast_id, f.issued_at FROM setpoints s LEFT JOIN plans p ON s.plan_id = p.plan_id "
            "LEFT JOIN forecasts f ON p.forecast_id = f.forecast_id "
            f"{'' if site is None else 'WHERE s.site = ? '}ORDER BY s.site, s.interval, s.device",
            *(() if site is None else (site,)),
        )
        return [_trace(row, tuple(acks.get(row[0], ()))) for row in rows]

    def forecast_document(self, forecast_id: str) -> str | None:
        """JSON: what was expected when a plan was made."""
        row = self._one("SELECT document FROM forecasts WHERE forecast_id = ?", forecast_id)
        return None if row is None else _unpack(row[0])

    def forecasts_between(self, site: str, since: datetime, until: datetime) -> list[StoredForecast]:
        """All forecasts issued from `since` on and before `until`, oldest first: what was known then."""
        rows = self._db.query(
            "SELECT f.forecast_id, f.issued_at, f.document FROM plans p JOIN forecasts f "
            "ON p.forecast_id = f.forecast_id WHERE p.site = ? AND p.interval >= ? AND p.interval < ? "
            "ORDER BY p.interval",
            site,
            _text(since),
            _text(until),
        )
        return [StoredForecast(forecast_id, _time(issued_at), packed) for forecast_id, issued_at, packed in rows]

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {table: self._db.query(f"SELECT count(*) FROM {table}")[0][0] for table in _APPEND_ONLY}

    def head(self) -> tuple[int, str]:
        """Number and hash of the last link of the chain; 0 and nothing before the first."""
        row = self._one("SELECT number, hash FROM chain ORDER BY number DESC LIMIT 1")
        return (0, "") if row is None else (int(row[0]), str(row[1]))

    def changed(self) -> list[str]:
        """What was changed, added or taken away after it was written; empty when all is as it was."""
        with ExitStack() as stack:
            links = stack.enter_context(self._db.stream("SELECT number, hash FROM chain ORDER BY number"))
            tables = [self._linked_rows(stack, table) for table in _LINKED]
            return list(broken_links(((int(row[0]), str(row[1])) for _, row in links), tables))

    def _linked_rows(self, stack: ExitStack, table: str) -> Iterator[LinkedRow]:
        rows = stack.enter_context(self._db.stream(f"SELECT * FROM {table} ORDER BY link"))
        for names, row in rows:
            content = [value for name, value in zip(names, row, strict=True) if name not in UNHASHED]
            yield LinkedRow(int(row[names.index("link")]), table, row_digest(content))

    def add_command(self, command: OperatorCommand, answer: CommandAnswer) -> CommandAnswer:
        """Writes an order and its answer, unless the ledger has it; the answer that it holds."""
        row = (command.command_id, command.site, command.encode().decode(), answer.encode().decode())
        self._insert_many("commands", [row])
        stored = self._one("SELECT answer FROM commands WHERE command_id = ?", command.command_id)
        assert stored is not None
        return CommandAnswer.model_validate_json(stored[0])

    def commands(self, site: str) -> list[tuple[OperatorCommand, CommandAnswer]]:
        """All orders of a site with what was said to them, in the order in which they came."""
        rows = self._db.query("SELECT message, answer FROM commands WHERE site = ? ORDER BY link", site)
        return [
            (OperatorCommand.model_validate_json(message), CommandAnswer.model_validate_json(answer))
            for message, answer in rows
        ]

    def add_model(self, model: StoredModel) -> None:
        row = (model.model_id, model.site, _text(model.fitted_at), model.provenance, model.blob)
        self._insert_many("models", [row])

    def latest_model(self, site: str) -> StoredModel | None:
        row = self._one(
            "SELECT model_id, site, fitted_at, blob, provenance FROM models WHERE site = ? "
            "ORDER BY fitted_at DESC, link DESC LIMIT 1",
            site,
        )
        return None if row is None else StoredModel(row[0], row[1], _time(row[2]), bytes(row[3]), row[4])

    def add_announcements(self, announced: Iterable[News]) -> None:
        """Adds what others announce; one that is there already is left."""
        rows = [
            (_announcement_id(one), one.site, one.type_name(), _text(one.issued_at), one.encode().decode())
            for one in announced
        ]
        self._insert_many("announcements", rows)

    def announcements(self, site: str, kind: type[Told], since: datetime, until: datetime) -> list[Told]:
        """What of one kind was issued from `since` on and before `until`, in order of issue."""
        rows = self._db.query(
            "SELECT message FROM announcements WHERE site = ? AND type = ? AND issued_at >= ? AND issued_at < ? "
            "ORDER BY issued_at, link, id",
            site,
            kind.type_name(),
            _text(since),
            _text(until),
        )
        return [kind.model_validate_json(message) for (message,) in rows]

    def _prepare(self) -> None:
        if not self._db.has_table("meta"):
            with self._db.transaction():
                self._create()
        found = self._one("SELECT value FROM meta WHERE key = 'schema'")
        if found is None or found[0] != SCHEMA:
            raise unreadable(
                self._db.where,
                f"a ledger of schema {found[0] if found else 'unknown'}, this version reads {SCHEMA}: give another one",
            )

    def _create(self) -> None:
        if self._db.has_table("meta"):  # another process was first
            return
        script = (files("streams") / "ledger_schema.sql").read_text(encoding="utf-8")
        lines = (line for line in script.splitlines() if not line.startswith("--"))
        tables = (statement for statement in "\n".join(lines).split(";") if statement.strip())
        self._db.create(tables, _APPEND_ONLY.items())
        self._db.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))

    @contextmanager
    def _writing(self) -> Iterator[Link]:
        """A transaction; what it adds becomes the next link of the chain."""
        with self._db.transaction():
            number, before = self.head()
            link = Link(self._db, number + 1)
            yield link
            if link.digests:
                self._db.execute("INSERT INTO chain VALUES (?, ?)", (link.number, link_hash(before, link.digests)))

    def _insert_many(self, table: str, rows: Sequence[Row]) -> None:
        if rows:
            with self._writing() as link:
                link.add_new(table, rows)

    def _answers(self, where: str, *values: object) -> list[StoredAnswer]:
        rows = self._db.query(
            "SELECT p.plan_id, p.site, p.interval, p.status, p.hash, p.document, p.situation, p.forecast_id, c.hash "
            f"FROM plans p JOIN chain c ON p.link = c.number WHERE {where} ORDER BY p.interval",
            *values,
        )
        return [self._stored(row) for row in rows]

    def _stored(self, row: Row) -> StoredAnswer:
        plan_id, site, interval, status, plan_hash, plan, situation, forecast_id, ledger_hash = row
        setpoints = self._db.query(
            "SELECT message, sent FROM setpoints WHERE plan_id = ? ORDER BY device, seq", plan_id
        )
        return StoredAnswer(
            plan_id=plan_id,
            site=site,
            interval=_time(interval),
            status=status,
            plan_hash=plan_hash,
            plan=_unpack(plan),
            situation=_unpack(situation),
            forecast_id=forecast_id,
            ledger_hash=ledger_hash,
            setpoints=tuple(message for message, _ in setpoints),
            sent=all(sent for _, sent in setpoints),
        )

    def _one(self, query: str, *values: object) -> Row | None:
        rows = self._db.query(query, *values)
        return rows[0] if rows else None

    def _time_of(self, query: str, *values: object) -> datetime | None:
        row = self._one(query, *values)
        return None if row is None or row[0] is None else _time(row[0])


def _add_answer(link: Link, answer: Answer) -> None:
    site, interval = answer.site, _text(answer.interval)
    for closed in answer.closed:
        start = _text(closed.start)
        link.add(
            "readings", [(site, start, name, s.value, s.quality, s.coverage) for name, s in closed.signals.items()]
        )
        cars = [
            (site, start, charger, car and car.session_id, car and car.model_dump_json())
            for charger, car in closed.cars.items()
        ]
        link.add("cars", cars)
    link.add("forecasts", [(answer.forecast_id, site, interval, _pack(answer.forecasts))])
    plan = (answer.plan_id, site, interval, answer.status, answer.plan_hash, answer.forecast_id)
    documents = (_pack(answer.plan), _pack(answer.situation))
    link.add("plans", [(*plan, *documents, answer.partition, answer.tick_offset)])
    link.add("setpoints", [_setpoint_row(setpoint, answer.interval) for setpoint in answer.setpoints])


def _setpoint_row(setpoint: SetpointMessage, interval: datetime) -> Row:
    one, message = setpoint, setpoint.encode().decode()
    return (one.cmd_id, one.site, one.device, _text(interval), one.seq, one.target_kw, message, one.plan_id)


def _trace(row: Sequence[Any], acks: tuple[AckRow, ...]) -> SetpointTrace:
    cmd_id, site, device, interval, seq, target, sent, plan_id, status, plan_hash, forecast_id, issued_at = row
    return SetpointTrace(
        cmd_id=cmd_id,
        site=site,
        device=device,
        interval=_time(interval),
        seq=seq,
        target_kw=target,
        sent=bool(sent),
        plan_id=plan_id,
        plan_status=status,
        plan_hash=plan_hash,
        forecast_id=forecast_id,
        forecast_issued_at=None if issued_at is None else _time(issued_at),
        acks=acks,
    )


def _car(text: str) -> CarAtCharger:
    return CarAtCharger.model_validate_json(text)


def _announcement_id(one: News) -> str:
    """By content: the same one again is the same row."""
    return sha256(one.encode()).hexdigest()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds" if at.microsecond else "seconds")[:-6] + "Z"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _pack(document: str) -> bytes:
    return zlib.compress(document.encode(), level=3)


def _unpack(blob: object) -> str:
    if not isinstance(blob, bytes | memoryview):
        raise TypeError(f"a document of the ledger is {type(blob).__name__}, not bytes")
    return zlib.decompress(blob).decode()
