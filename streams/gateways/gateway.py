"""The gateway process of one site: setpoints from Kafka to the site controller, acknowledgements back to Kafka.

It takes all partitions of the setpoints itself instead of joining a group: a site has one gateway, and so a restart
goes on at once from the committed offset, without waiting for the dead member's session to end.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from site_configs.site import Site
from streams.admin import is_embedded
from streams.gateways.local_loop import limits_of
from streams.gateways.open_face import open_face
from streams.gateways.seen import GatewayCollector, GatewayHealth
from streams.gateways.site_setpoints import SiteSetpoints
from streams.kafka_access import kafka_access
from streams.messages import Acknowledgement, BadMessageError, DeadLetter, SetpointMessage, decode
from streams.scraped import scraped
from streams.topics import ACKS, DEAD_LETTERS, SETPOINTS

FETCH_WAIT_MS = 500
"""How long a broker may wait for data before it answers a fetch; it answers at once when data comes."""
EMBEDDED_FETCH_WAIT_MS = 3
"""The embedded broker does not answer before the wait is over, so this adds to every setpoint's way."""
EMBEDDED_CLIENT = {"api_version": (2, 8)}
"""The embedded broker's answer to the question for its version cannot be read by this client."""
IDLE_MS = 50
SETTLING_MS = 5
"""Longest wait for messages: while nothing is open, and while a read-back is awaited."""
SEND_S = 1.0
"""Longest wait for the broker to take acknowledgements, before the controller is served again."""
FOREVER_MS = 2**31 - 1
TOPIC_WAIT_S = 0.2
LARGEST_RAW = 500_000
"""Bytes of a bad message that are kept: below the broker's usual limit of 1 MB with base64 and frame."""

log = logging.getLogger(__name__)


class StopEvent(Protocol):
    """Anything like `threading.Event` or `multiprocessing.Event`."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


def run_gateway(
    site: Site,
    broker: str,
    stop_event: StopEvent,
    *,
    host: str | None = None,
    port: int | None = None,
    observe: str | None = None,
) -> None:
    """Serves one site until `stop_event` is set. A controller that is gone is waited for.

    `host` and `port` of the controller, those of the site file where they are left out. Metrics and health are at
    `observe` (host:port), nowhere if absent.

    Raises:
        InputError: the controller's profile cannot be read, or `observe` is no place.
        MissingPartError: no Kafka broker at `broker`, a protocol's part is missing, or `observe` is taken.
    """
    opened, reached = open_face(site, host, port)
    devices = [device for device in site.devices if device.id in reached]
    registry = CollectorRegistry()
    with closing(opened) as face, _kafka(site.id, broker) as post:
        setpoints = SiteSetpoints(site.id, devices, face, post.acknowledge, limits=limits_of(site))
        registry.register(GatewayCollector(site.id, setpoints.figures))
        with scraped(observe, registry, lambda: GatewayHealth.of(setpoints.figures())):
            post.take_partitions(stop_event)
            while not stop_event.is_set():
                setpoints.handle(post.receive(SETTLING_MS if setpoints.settling else IDLE_MS))
                setpoints.turn()
                post.settle()


class _Post:
    """The site's messages on Kafka; offsets are committed after the broker has taken what answers them."""

    def __init__(self, site: str, consumer: Any, producer: Any) -> None:
        self._site = site
        self._consumer = consumer
        self._producer = producer
        self._uncommitted = False

    def take_partitions(self, stop_event: StopEvent) -> None:
        """Waits for the topic to be there, and takes all its partitions; knows the way for answers beforehand."""
        while not (partitions := self._consumer.partitions_for_topic(SETPOINTS.name)):
            log.info("site %s: waiting for topic %s", self._site, SETPOINTS.name)
            if stop_event.wait(TOPIC_WAIT_S):
                return
        self._consumer.assign([TopicPartition(SETPOINTS.name, number) for number in sorted(partitions)])
        self._producer.partitions_for(ACKS.name)

    def receive(self, wait_ms: int) -> list[SetpointMessage]:
        """The site's next setpoints; what cannot be read goes to the dead letters. Other sites' are left to others."""
        records = [record for part in self._consumer.poll(timeout_ms=wait_ms).values() for record in part]
        self._uncommitted |= bool(records)
        setpoints = (self._setpoint(record) for record in records if record.key == self._site.encode())
        return [setpoint for setpoint in setpoints if setpoint is not None]

    def acknowledge(self, ack: Acknowledgement) -> None:
        self._producer.send(ACKS.name, key=ack.key, value=ack.encode())

    def settle(self) -> None:
        """Commits what has been answered; tried again next time when the broker does not take it now."""
        if not self._uncommitted:
            return
        try:
            self._producer.flush(timeout=SEND_S)
            self._consumer.commit(timeout_ms=round(SEND_S * 1000))
            self._uncommitted = False
        except KafkaError as error:
            log.warning("site %s: broker does not answer, commit is tried again: %s", self._site, error)

    def close(self) -> None:
        self._consumer.close(autocommit=False)
        self._producer.close(timeout=SEND_S)

    def _setpoint(self, record: Any) -> SetpointMessage | None:
        try:
            message = decode(record.key, record.value)
            if isinstance(message, SetpointMessage):
                return message
            raise BadMessageError(f"{type(message).__name__} on the topic of setpoints")
        except BadMessageError as error:
            self._bury(record, error.reason)
            return None

    def _bury(self, record: Any, reason: str) -> None:
        raw = (record.value or b"")[:LARGEST_RAW]
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
            raw_base64=base64.b64encode(raw).decode(),
        )
        self._producer.send(DEAD_LETTERS.name, key=letter.key, value=letter.encode())


@contextmanager
def _kafka(site: str, broker: str) -> Iterator[_Post]:
    embedded = is_embedded(broker)
    client = {**kafka_access(broker).kafka_python(), **(EMBEDDED_CLIENT if embedded else {})}
    consumer = KafkaConsumer(
        **client,
        group_id=f"quartet-gateway-{site}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=EMBEDDED_FETCH_WAIT_MS if embedded else FETCH_WAIT_MS,
    )
    producer = KafkaProducer(**client, acks="all", delivery_timeout_ms=FOREVER_MS)
    with closing(_Post(site, consumer, producer)) as post:
        yield post
