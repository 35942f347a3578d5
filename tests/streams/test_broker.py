"""The embedded broker and the topics on it."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer

from optimizer.errors import MissingPartError
from streams.admin import ensure_topics, wait_for_broker
from streams.broker import EMBEDDED_PARTITIONS, EmbeddedBroker
from streams.topics import TELEMETRY, TOPICS


def test_it_has_every_topic_and_keeps_messages_while_it_lives():
    with EmbeddedBroker() as broker:
        assert broker.startswith("127.0.0.1:")
        wait_for_broker(broker, 5)
        assert ensure_topics(broker) == {topic.name: EMBEDDED_PARTITIONS for topic in TOPICS}
        producer = Producer({"bootstrap.servers": broker, "log_level": 0})
        producer.produce(TELEMETRY.name, b"value", b"key")
        assert producer.flush(10) == 0
        consumer = Consumer(
            {"bootstrap.servers": broker, "group.id": "g", "auto.offset.reset": "earliest", "log_level": 0}
        )
        consumer.subscribe([TELEMETRY.name])
        message = consumer.poll(20)
        consumer.close()
        assert (message.key(), message.value()) == (b"key", b"value")


def test_a_broker_that_is_not_there_is_a_missing_part():
    with pytest.raises(MissingPartError, match=r"no Kafka broker answers at 127\.0\.0\.1:1 after 0\.1 s: start one"):
        wait_for_broker("127.0.0.1:1", 0.1)
