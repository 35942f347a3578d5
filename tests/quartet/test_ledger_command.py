"""`quartet ledger`: whether a ledger is as it was written; and the histories of several sites."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from optimizer.errors import InputError
from quartet.services import histories
from quartet.tracing import _setpoints
from site_configs.history import sample_folder
from site_configs.loader import load_site
from streams.ledger import Ledger
from tests.streams.story import light_park
from tests.streams.test_ledger import answer


@pytest.fixture
def written(tmp_path: Path) -> Path:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.record(answer(1))
        ledger.record(answer(2))
    return tmp_path / "ledger.db"


def test_a_ledger_as_it_was_written(quartet: Any, written: Path) -> None:
    ran = quartet("ledger", str(written), "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["ok"], ran.json["links"], ran.json["changed"]) == (True, 2, [])
    assert ran.json["rows"]["plans"] == 2
    assert "all is as it was written" in quartet("ledger", str(written)).out


def test_a_ledger_that_was_changed(quartet: Any, written: Path) -> None:
    with sqlite3.connect(written) as other:
        other.execute("DROP TRIGGER readings_fixed")
        other.execute("UPDATE readings SET value = 1.0 WHERE link = 2 AND signal = 'meter.import_kw'")
    other.close()
    ran = quartet("ledger", str(written), "--json")
    assert ran.code == 1
    assert [line.split(":")[0] for line in ran.json["changed"]] == ["link 2"]


def test_no_ledger_is_bad_input_and_none_is_made(quartet: Any, tmp_path: Path) -> None:
    ran = quartet("ledger", str(tmp_path / "none.db"))
    assert ran.code == 2
    assert "no such file" in ran.err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("content", [b"", b"time,load.demand_kw\n", "another database"])
def test_what_is_no_ledger_is_left_as_it_is(quartet: Any, tmp_path: Path, content: bytes | str) -> None:
    file = tmp_path / "some.db"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE readings (value REAL)")
            other.commit()
    before = file.read_bytes()
    ran = quartet("ledger", str(file))
    assert (ran.code, ran.out) == (2, "")
    assert f"is not a ledger: give that of an engine, got {file}" in ran.err
    with pytest.raises(InputError, match="is not a ledger"):
        list(_setpoints(load_site("jiashan_park"), file, ()))
    assert (file.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (before, ["some.db"])


def test_histories_of_one_site_and_of_several(tmp_path: Path) -> None:
    shipped, own = load_site("jiashan_park"), light_park()
    names, parks = ["jiashan_park", "own.yaml"], [shipped, own]
    assert histories(names, parks, None) == {"jiashan_park": sample_folder("jiashan_park")}
    assert histories(names[1:], parks[1:], tmp_path) == {"light_park": tmp_path}
    assert histories(names, parks, tmp_path) == {
        "jiashan_park": tmp_path / "jiashan_park",
        "light_park": tmp_path / "light_park",
    }
