"""The ledger in SQLite: every reading used, forecast, plan, setpoint and acknowledgement; it survives a power cut.

One engine writes; others may read at the same time. Rows are only ever added.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from optimizer.errors import InputError, MissingPartError, Problem
from streams.messages import Acknowledgement, CarAtCharger, CommandAnswer, DeadLetter, OperatorCommand
from streams.records import AckRow, Answer, LateReading, SetpointTrace, StoredAnswer, StoredForecast, StoredModel

SCHEMA = "2"
METER_IMPORT = "meter.import_kw"
_APPEND_ONLY = {
    "meta": "key, value",
    "forecasts": "",
    "plans": "",
    "readings": "",
    "cars": "",
    "setpoints": "cmd_id, site, device, interval, seq, target_kw, message, plan_id",
    "acks": "",
    "late_readings": "",
    "dead_letters": "letter_id, topic, reason, message",
    "commands": "",
    "models": "",
}
"""By table: the columns that may not be changed; all of them when empty."""


class Ledger:
    """The ledger file at `path`, made when it is not there.

    Raises:
        InputError: the file is not a ledger, or one of another version.
        MissingPartError: the file cannot be opened or written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=20, isolation_level=None)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._prepare()
        except (OSError, sqlite3.OperationalError) as error:
            raise MissingPartError(
                f"ledger {path} cannot be opened: {error}; give a path that can be written"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._unreadable(f"not a ledger ({error}): move it away or give another path") from error

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

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
        rows = self._db.execute("SELECT interval FROM plans WHERE site = ? ORDER BY interval", (site,))
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
        with self._transaction():
            if not self.answered(answer.site, answer.interval):
                self._insert(answer)
        stored = self.answer(answer.site, answer.interval)
        if stored is None:
            raise sqlite3.DatabaseError(f"answer of {answer.site} for {answer.interval} was written but is not there")
        return stored

    def mark_sent(self, plan_id: str) -> None:
        self._db.execute("UPDATE setpoints SET sent = 1 WHERE plan_id = ?", (plan_id,))

    def recent(self, site: str, since: datetime) -> pd.DataFrame:
        """Closed intervals from `since` on: one row each (UTC start), one column per signal."""
        rows = self._db.execute(
            "SELECT interval, signal, value FROM readings WHERE site = ? AND interval >= ? ORDER BY interval",
            (site, _text(since)),
        ).fetchall()
        by_interval = {
            start: {signal: value for _, signal, value in group} for start, group in groupby(rows, lambda row: row[0])
        }
        index = pd.DatetimeIndex([_time(start) for start in by_interval], tz=UTC, name="time")
        return pd.DataFrame(list(by_interval.values()), index=index, dtype=float)

    def last_values(self, site: str) -> dict[str, tuple[datetime, float]]:
        """By signal: the interval in which it was measured last, and its value."""
        rows = self._db.execute(
            "SELECT signal, max(interval), value FROM readings WHERE site = ? GROUP BY signal", (site,)
        )
        return {signal: (_time(interval), value) for signal, interval, value in rows}

    def last_cars(self, site: str) -> dict[str, CarAtCharger | None]:
        """By charger: the car it reported last, None for an empty place."""
        rows = self._db.execute("SELECT charger, max(interval), car FROM cars WHERE site = ? GROUP BY charger", (site,))
        return {charger: None if car is None else CarAtCharger.model_validate_json(car) for charger, _, car in rows}

    def cars_since(self, site: str, since: datetime) -> list[tuple[str, CarAtCharger]]:
        """Charger and car, as last reported, of every car that was plugged in from `since` on."""
        rows = self._db.execute(
            "SELECT charger, car, max(interval) FROM cars WHERE site = ? AND interval >= ? AND car IS NOT NULL "
            "GROUP BY charger, json_extract(car, '$.session_id') ORDER BY max(interval), charger",
            (site, _text(since)),
        )
        return [(charger, CarAtCharger.model_validate_json(car)) for charger, car, _ in rows]

    def imports_kw(self, site: str, since: datetime) -> pd.Series[float]:
        """Metered mean import of the closed intervals from `since` on, by their UTC start [kW]."""
        rows = self._db.execute(
            "SELECT interval, value FROM readings WHERE site = ? AND interval >= ? AND signal = ? ORDER BY interval",
            (site, _text(since), METER_IMPORT),
        ).fetchall()
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
        rows = [(letter.key.decode(), letter.topic, letter.reason, letter.model_dump_json(), 0) for letter in letters]
        self._insert_many("dead_letters", rows)

    def dead_letter_sent(self, letter: DeadLetter) -> bool:
        return self._one("SELECT 1 FROM dead_letters WHERE letter_id = ? AND sent = 1", letter.key.decode()) is not None

    def mark_dead_letters_sent(self, letters: Iterable[DeadLetter]) -> None:
        with self._transaction():
            self._db.executemany(
                "UPDATE dead_letters SET sent = 1 WHERE letter_id = ?", [(letter.key.decode(),) for letter in letters]
            )

    def knows_setpoint(self, cmd_id: str) -> bool:
        return self._one("SELECT 1 FROM setpoints WHERE cmd_id = ?", cmd_id) is not None

    def add_acks(self, acks: Sequence[Acknowledgement]) -> None:
        """Adds acknowledgements of known setpoints; one that is there already is left."""
        rows = [(ack.cmd_id, ack.state, _text(ack.at), ack.readback_kw, ack.reason) for ack in acks]
        self._insert_many("acks", rows)

    def setpoint_trace(self, site: str | None = None) -> list[SetpointTrace]:
        """Every setpoint joined to its plan, its forecast and its acknowledgements, in order of interval and device."""
        acks: dict[str, list[AckRow]] = {}
        for cmd_id, state, at, readback, reason in self._db.execute(
            "SELECT cmd_id, state, at, readback_kw, reason FROM acks ORDER BY rowid"
        ):
            acks.setdefault(cmd_id, []).append(AckRow(state, _time(at), readback, reason))
        rows = self._db.execute(
            "SELECT s.cmd_id, s.site, s.device, s.interval, s.seq, s.target_kw, s.sent, p.plan_id, p.status, p.hash, "
            "f.forecast_id, f.issued_at FROM setpoints s LEFT JOIN plans p USING (plan_id) "
            "LEFT JOIN forecasts f USING (forecast_id) WHERE ? IS NULL OR s.site = ? "
            "ORDER BY s.site, s.interval, s.device",
            (site, site),
        )
        return [_trace(row, tuple(acks.get(row[0], ()))) for row in rows]

    def forecast_document(self, forecast_id: str) -> str | None:
        """JSON: what was expected when a plan was made."""
        row = self._one("SELECT document FROM forecasts WHERE forecast_id = ?", forecast_id)
        return None if row is None else _unpack(row[0])

    def forecasts_between(self, site: str, since: datetime, until: datetime) -> list[StoredForecast]:
        """All forecasts issued from `since` on and before `until`, oldest first: what was known then."""
        rows = self._db.execute(
            "SELECT f.forecast_id, f.issued_at, f.document FROM plans p JOIN forecasts f USING (forecast_id) "
            "WHERE p.site = ? AND p.interval >= ? AND p.interval < ? ORDER BY p.interval",
            (site, _text(since), _text(until)),
        )
        return [StoredForecast(forecast_id, _time(issued_at), packed) for forecast_id, issued_at, packed in rows]

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {table: self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in _APPEND_ONLY}

    def add_command(self, command: OperatorCommand, answer: CommandAnswer) -> CommandAnswer:
        """Writes an order and its answer, unless the ledger has it; the answer that it holds."""
        row = (command.command_id, command.site, command.encode().decode(), answer.encode().decode())
        self._insert_many("commands", [row])
        stored = self._one("SELECT answer FROM commands WHERE command_id = ?", command.command_id)
        assert stored is not None
        return CommandAnswer.model_validate_json(stored[0])

    def commands(self, site: str) -> list[tuple[OperatorCommand, CommandAnswer]]:
        """All orders of a site with what was said to them, in the order in which they came."""
        rows = self._db.execute("SELECT message, answer FROM commands WHERE site = ? ORDER BY rowid", (site,))
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
            "ORDER BY fitted_at DESC, rowid DESC LIMIT 1",
            site,
        )
        return None if row is None else StoredModel(row[0], row[1], _time(row[2]), row[3], row[4])

    def _prepare(self) -> None:
        with self._transaction():
            if self._one("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is None:
                self._create()
        found = self._one("SELECT value FROM meta WHERE key = 'schema'")
        if found is None or found[0] != SCHEMA:
            raise self._unreadable(
                f"a ledger of schema {found[0] if found else 'unknown'}, this version reads {SCHEMA}: give another path"
            )

    def _create(self) -> None:
        script = (files("streams") / "ledger_schema.sql").read_text(encoding="utf-8")
        lines = (line for line in script.splitlines() if not line.startswith("--"))
        for statement in "\n".join(lines).split(";"):
            self._db.execute(statement)
        for table, fixed in _APPEND_ONLY.items():
            refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            self._db.execute(f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} {refuse}")
            columns = f"OF {fixed} " if fixed else ""
            self._db.execute(f"CREATE TRIGGER {table}_fixed BEFORE UPDATE {columns}ON {table} {refuse}")
        self._db.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA,))

    def _unreadable(self, message: str) -> InputError:
        return InputError([Problem(file=str(self.path), path="ledger", value="this file", message=message)])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _insert(self, answer: Answer) -> None:
        site, interval = answer.site, _text(answer.interval)
        for closed in answer.closed:
            start = _text(closed.start)
            self._rows(
                "readings",
                [(site, start, name, s.value, s.quality, s.coverage) for name, s in closed.signals.items()],
            )
            cars = [(site, start, charger, car and car.model_dump_json()) for charger, car in closed.cars.items()]
            self._rows("cars", cars)
        self._rows("forecasts", [(answer.forecast_id, site, interval, _pack(answer.forecasts))])
        self._rows(
            "plans",
            [
                (
                    answer.plan_id,
                    site,
                    interval,
                    answer.status,
                    answer.plan_hash,
                    answer.forecast_id,
                    _pack(answer.plan),
                    _pack(answer.situation),
                    answer.partition,
                    answer.tick_offset,
                )
            ],
        )
        self._rows(
            "setpoints",
            [
                (s.cmd_id, site, s.device, interval, s.seq, s.target_kw, s.encode().decode(), s.plan_id, 0)
                for s in answer.setpoints
            ],
        )

    def _rows(self, table: str, rows: Sequence[Sequence[object]], verb: str = "INSERT") -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"{verb} INTO {table} VALUES ({marks})", rows)

    def _insert_many(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            with self._transaction():
                self._rows(table, rows, verb="INSERT OR IGNORE")

    def _answers(self, where: str, *values: object) -> list[StoredAnswer]:
        rows = self._db.execute(
            f"SELECT p.plan_id, p.site, p.interval, p.status, p.document, p.situation FROM plans p WHERE {where} "
            "ORDER BY p.interval",
            values,
        ).fetchall()
        return [self._stored(row) for row in rows]

    def _stored(self, row: Sequence[Any]) -> StoredAnswer:
        plan_id, site, interval, status, plan, situation = row
        setpoints = self._db.execute(
            "SELECT message, sent FROM setpoints WHERE plan_id = ? ORDER BY device", (plan_id,)
        ).fetchall()
        return StoredAnswer(
            plan_id=plan_id,
            site=site,
            interval=_time(interval),
            status=status,
            plan=_unpack(plan),
            situation=_unpack(situation),
            setpoints=tuple(message for message, _ in setpoints),
            sent=all(sent for _, sent in setpoints),
        )

    def _one(self, query: str, *values: object) -> Sequence[Any] | None:
        row: Sequence[Any] | None = self._db.execute(query, values).fetchone()
        return row

    def _time_of(self, query: str, *values: object) -> datetime | None:
        row = self._one(query, *values)
        return None if row is None or row[0] is None else _time(row[0])


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


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds" if at.microsecond else "seconds")[:-6] + "Z"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _pack(document: str) -> bytes:
    return zlib.compress(document.encode(), level=3)


def _unpack(blob: object) -> str:
    if not isinstance(blob, bytes):
        raise sqlite3.DatabaseError(f"a document of the ledger is {type(blob).__name__}, not bytes")
    return zlib.decompress(blob).decode()
