"""Makes docs/topics.md from the table of topics and the classes of the messages.

    make docs      or, without make:      python -m scripts.topic_page

Nothing on the page is written by hand: to change it, change streams/topics.py or the docstrings of streams/messages.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from scripts.model_tables import doc_of, fields_of, table
from streams.messages import SCHEMA_VERSION, CarAtCharger, ForecastSeries, Message
from streams.topics import TOPICS, Topic

OUT = Path(__file__).resolve().parents[1] / "docs" / "topics.md"
MADE = "<!-- made from streams/topics.py and streams/messages.py by `make docs`: change those, not this page -->"
ABOUT = f"""
Messages are JSON of version {SCHEMA_VERSION}, keyed by the site; all of a site must be sent with the same partitioner
(murmur2, the default of Kafka's own clients), so that they stand on one partition in order. Times are ISO 8601 with an
offset. A field that a reader does not know is passed over: a newer minor version is read. Another major version, like
all that cannot be read, goes to the dead letters with its reason. `quartet schema NAME` prints a message's JSON schema.
"""
KEPT = """
Kept: how long a broker keeps a message at least. "Newest stays": compacted, the last message of each key stays however
old. All topics have the same number of partitions. They are made when an engine starts and they are missing, with three
copies where there are three brokers; existing ones are left as they are.
"""
PARTS = (CarAtCharger, ForecastSeries)
COMMON = frozenset(Message.model_fields) | {"type"}


def page() -> str:
    """The text of the page."""
    blocks = ["# Topics and messages", MADE, ABOUT.strip(), _topic_table(), KEPT.strip()]
    for topic in TOPICS:
        blocks += [f"## `{topic.name}`", f"{_sentence(topic.carries)} From {topic.sent_by} to {topic.read_by}."]
        blocks += [block for message in topic.messages for block in _message(message)]
    blocks += ["## Parts of messages", *(block for part in PARTS for block in _part(part))]
    return "\n\n".join(blocks) + "\n"


def _topic_table() -> str:
    return table(("topic", "carries", "messages", "kept"), (_topic_row(topic) for topic in TOPICS))


def _topic_row(topic: Topic) -> tuple[str, ...]:
    names = ", ".join(f"`{_type_name(message)}`" for message in topic.messages)
    kept = f"{topic.retention_days} days{', newest stays' if topic.compacted else ''}"
    return f"[`{topic.name}`](#{topic.name.replace('.', '')})", topic.carries, names, kept


def _message(message: type[BaseModel]) -> Iterator[str]:
    yield f"### `{_type_name(message)}`"
    yield doc_of(message)
    yield fields_of(message, COMMON)


def _part(part: type[BaseModel]) -> Iterator[str]:
    yield f"### {part.__name__}"
    yield doc_of(part)
    yield fields_of(part, COMMON)


def _type_name(message: type[BaseModel]) -> str:
    return str(message.model_fields["type"].default)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def main() -> None:
    OUT.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
