"""The table of topics: every message has its topic, the page is current, versions are read as promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.topic_page import page
from streams.messages import SCHEMA_VERSION, BadMessageError, DeadLetter, Message, Tick, decode
from streams.topics import TOPICS
from tests.streams.story import at, tick

PAGE = Path(__file__).parents[2] / "docs" / "topics.md"


def kinds(base: type[Message]) -> set[type[Message]]:
    """All classes below that can be sent."""
    below = {one for kind in base.__subclasses__() for one in kinds(kind)}
    return below | ({base} if "type" in base.model_fields else set())


def test_every_message_stands_on_one_topic():
    carried = [message for topic in TOPICS for message in topic.messages]
    assert len(carried) == len(set(carried))
    assert set(carried) == kinds(Message) | {DeadLetter}


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == page(), "docs/topics.md is not what the table says: `make docs` renews it"


def test_a_newer_minor_version_is_read_and_what_it_adds_passed_over():
    major, minor = map(int, SCHEMA_VERSION.split("."))
    document = json.loads(tick(1).encode()) | {"version": f"{major}.{minor + 7}", "mood": "good"}
    read = decode(b"light_park", json.dumps(document).encode())
    assert isinstance(read, Tick)
    assert read.time == at(1)


@pytest.mark.parametrize("version", ["0.9", "2.0", "10.2", "", "x"])
def test_another_major_version_is_refused(version):
    document = json.loads(tick(1).encode()) | {"version": version}
    with pytest.raises(BadMessageError, match=r"only 1\.x is understood"):
        decode(b"light_park", json.dumps(document).encode())
