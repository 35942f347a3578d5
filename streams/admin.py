"""Setting up topics on a broker, and waiting for one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from optimizer.errors import MissingPartError
from streams.kafka_access import kafka_access
from streams.topics import TOPICS, Topic

_EMBEDDED_CLUSTER = "mockCluster"
"""Beginning of the cluster id of librdkafka's embedded broker."""
_TIMEOUT_S = 10.0


def wait_for_broker(broker: str, timeout_s: float = 30.0) -> None:
    """Returns when a broker answers at `host:port`.

    Raises:
        MissingPartError: none did within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while not _answers(broker):
        if time.monotonic() > end:
            raise MissingPartError(
                f"no Kafka broker answers at {broker} after {timeout_s:g} s: start one "
                "(scripts/kafka.sh up .kafka), correct --broker, or try `quartet broker`"
            )
        time.sleep(0.2)


def ensure_topics(
    broker: str, partitions: int = 6, replication: int | None = None, topics: Iterable[Topic] = TOPICS
) -> dict[str, int]:
    """Creates the topics that are missing and gives the number of partitions of each.

    Without `replication` every topic has three copies where there are three brokers or more, else one.
    Topics that exist are left as they are. The embedded broker has no topic administration: it makes a topic when it is
    first asked about it, with a number of partitions of its own.

    Raises:
        MissingPartError: the broker refused, or the topics differ in their number of partitions.
    """
    wanted = tuple(topics)
    admin = _admin(broker)
    cluster = admin.list_topics(timeout=_TIMEOUT_S)
    missing = [topic for topic in wanted if topic.name not in cluster.topics]
    if _embedded(cluster):
        counts = _ask_for(broker, wanted)
    else:
        _create(admin, missing, partitions, replication or (3 if len(cluster.brokers) >= 3 else 1))
        counts = _counted(admin, wanted)
    if len(set(counts.values())) > 1:
        raise MissingPartError(f"the topics on {broker} differ in partitions: {counts}; make them equal")
    return counts


def _admin(broker: str) -> Any:
    return AdminClient(kafka_access(broker).confluent())


def is_embedded(broker: str) -> bool:
    """Whether the broker at `host:port` is librdkafka's embedded one; raises MissingPartError when none answers."""
    try:
        return _embedded(_admin(broker).list_topics(timeout=_TIMEOUT_S))
    except KafkaException as error:
        raise MissingPartError(f"no Kafka broker answers at {broker}: start one, or correct --broker") from error


def _embedded(cluster: Any) -> bool:
    return str(cluster.cluster_id).startswith(_EMBEDDED_CLUSTER)


def _answers(broker: str) -> bool:
    try:
        _admin(broker).list_topics(timeout=2)
    except KafkaException:
        return False
    return True


def _ask_for(broker: str, topics: Iterable[Topic]) -> dict[str, int]:
    producer = Producer(kafka_access(broker).confluent())
    return {
        topic.name: len(producer.list_topics(topic.name, timeout=_TIMEOUT_S).topics[topic.name].partitions)
        for topic in topics
    }


def _create(admin: Any, topics: list[Topic], partitions: int, replication: int) -> None:
    if not topics:
        return
    new = [NewTopic(topic.name, partitions, replication, config=_settings(topic, replication)) for topic in topics]
    for name, done in admin.create_topics(new, request_timeout=_TIMEOUT_S).items():
        try:
            done.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise MissingPartError(f"topic {name} cannot be created: {error.args[0].str()}") from error


def _counted(admin: Any, wanted: tuple[Topic, ...]) -> dict[str, int]:
    """Partitions of each topic, once the broker tells of all of them: it does a moment after it has made them."""
    end = time.monotonic() + _TIMEOUT_S
    while True:
        found = admin.list_topics(timeout=_TIMEOUT_S).topics
        counts = {topic.name: len(found[topic.name].partitions) for topic in wanted if topic.name in found}
        if len(counts) == len(wanted):
            return counts
        if time.monotonic() > end:
            raise MissingPartError(f"topics made {_TIMEOUT_S:g} s ago do not appear: {len(counts)} of {len(wanted)}")
        time.sleep(0.1)


def _settings(topic: Topic, replication: int) -> dict[str, str]:
    return {
        "retention.ms": str(topic.retention_days * 86_400_000),
        "cleanup.policy": "compact,delete" if topic.compacted else "delete",
        "min.insync.replicas": "2" if replication > 1 else "1",
    }
