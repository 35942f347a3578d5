"""Orders of an operator: published to the engine, and its answer waited for."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from pydantic import BaseModel, ValidationError

from optimizer.errors import InputError, MissingPartError, Problem
from quartet.arguments import parse_duration, parse_moment, refuse
from site_configs.site import Site
from streams.kafka_access import kafka_access
from streams.messages import BadMessageError, CommandAnswer, CommandKind, OperatorCommand, decode
from streams.topics import COMMAND_ANSWERS, COMMANDS

SEND_S = 10.0


class OrderDocument(BaseModel):
    """What `quartet operator ... --json` prints."""

    command: OperatorCommand
    answer: CommandAnswer | None
    """None when no engine has answered in time: the order stands on the topic and is taken when one runs."""


def order(
    site: Site,
    kind: CommandKind,
    *,
    now: datetime,
    who: str,
    why: str,
    device: str | None = None,
    power_kw: float | None = None,
    until: datetime | None = None,
) -> OperatorCommand:
    """The order as a message.

    Raises:
        InputError: everything about it that cannot be.
    """
    given = {
        "site": site.id,
        "command_id": f"{site.id}:{kind}:{device or 'site'}:{now:%Y%m%dT%H%M%S%fZ}",
        "kind": kind,
        "device": device,
        "power_kw": power_kw,
        "issued_at": now,
        "until": until,
        "who": who,
        "why": why,
    }
    try:
        return OperatorCommand.model_validate(given)
    except ValidationError as error:
        raise InputError([_problem(dict(detail), kind) for detail in error.errors()]) from error


def end_of(site: Site, now: datetime, until: str | None, lasting: str | None) -> datetime:
    """The order's end, from one of the two options.

    Raises:
        InputError: neither or both are given, or one cannot be read.
    """
    if (until is None) == (lasting is None):
        refuse("--until / --for", f"{until} / {lasting}", "give one of them: an order ends by itself")
    if until is not None:
        end = parse_moment(until, site.zone, "--until")
        if end <= now:
            refuse("--until", until, f"is over already: give a time after {now.astimezone(site.zone):%Y-%m-%dT%H:%M}")
        return end
    return now + parse_duration("".join((lasting or "").split()), "--for")


def give(command: OperatorCommand, broker: str, wait_s: float) -> CommandAnswer | None:
    """Publishes an order and waits for the engine's answer; None when none came in time.

    Raises:
        MissingPartError: the broker does not take it.
    """
    answers = _listen(broker)
    try:
        _publish(command, broker)
        return _answer(answers, command, wait_s)
    finally:
        answers.close()


def _listen(broker: str) -> Consumer:
    """Reads the answers from now on."""
    consumer = Consumer(
        {**kafka_access(broker).confluent(), "group.id": "quartet-operator", "enable.auto.commit": False}
        | {"fetch.wait.max.ms": 50}
    )
    partitions = consumer.list_topics(COMMAND_ANSWERS.name, timeout=SEND_S).topics[COMMAND_ANSWERS.name].partitions
    places = [TopicPartition(COMMAND_ANSWERS.name, number) for number in partitions]
    for place in places:
        place.offset = consumer.get_watermark_offsets(place, timeout=SEND_S)[1]
    consumer.assign(places)
    return consumer


def _publish(command: OperatorCommand, broker: str) -> None:
    failed: list[str] = []

    def delivered(error: KafkaError | None, message: object) -> None:
        if error is not None:
            failed.append(str(error))

    producer = Producer({**kafka_access(broker).confluent(), "acks": "all", "partitioner": "murmur2_random"})
    try:
        producer.produce(COMMANDS.name, command.encode(), command.key, on_delivery=delivered)
        left = producer.flush(SEND_S)
    except KafkaException as error:
        raise MissingPartError(f"the broker {broker} does not take the order: {error}") from error
    if left or failed:
        raise MissingPartError(f"the broker {broker} does not take the order: {failed or 'no answer'}")


def _answer(answers: Consumer, command: OperatorCommand, wait_s: float) -> CommandAnswer | None:
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        message = answers.poll(0.1)
        if message is None or message.error() is not None:
            continue
        try:
            answer = decode(message.key(), message.value())
        except BadMessageError:
            continue
        if isinstance(answer, CommandAnswer) and answer.command_id == command.command_id:
            return answer
    return None


def now() -> datetime:
    return datetime.now(UTC)


def _problem(detail: dict[str, object], kind: str) -> Problem:
    where = detail["loc"]
    assert isinstance(where, tuple)
    field = ".".join(str(part) for part in where) or kind
    message = str(detail["msg"]).removeprefix("Value error, ")
    return Problem("command line", field, str(detail["input"]) if where else f"a {kind} order", message)
