"""The embedded broker: librdkafka's own, speaking the Kafka protocol on loopback, with nothing to install.

It keeps nothing: when the process that holds it ends, its topics are gone. For trying out and for fast tests; a park
runs on a real Kafka.
"""

from __future__ import annotations

from types import TracebackType

from confluent_kafka import Producer

from streams.admin import ensure_topics

EMBEDDED_PARTITIONS = 4
"""librdkafka gives every topic of its embedded broker this many partitions; it cannot be chosen."""


class EmbeddedBroker:
    """`with EmbeddedBroker() as address:` gives `host:port` of a broker that lives in this process."""

    def __init__(self) -> None:
        self._holder: Producer | None = None

    def __enter__(self) -> str:
        self._holder = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._holder.list_topics(timeout=10).brokers
        first = next(iter(brokers.values()))
        address = f"{first.host}:{first.port}"
        ensure_topics(address, partitions=EMBEDDED_PARTITIONS, replication=1)
        return address

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder = None
