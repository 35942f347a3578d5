"""The watchdog: a process that stands still beside unread messages ends."""

from __future__ import annotations

import threading

from confluent_kafka import Producer

from streams.broker import EmbeddedBroker
from streams.topics import TELEMETRY
from streams.watchdog import StallClock, StallError, Todo, Watchdog


def test_standing_still_is_counted_from_the_last_move():
    clock = StallClock(10)
    assert not clock.stalled(1, 0)
    assert not clock.stalled(1, 10)
    assert clock.stalled(1, 10.5)
    assert not clock.stalled(2, 11)
    assert not clock.stalled(2, 21)
    clock.restart(25)
    assert not clock.stalled(2, 35)
    assert clock.stalled(2, 35.5)


def test_only_unread_messages_make_it_bite():
    with EmbeddedBroker() as broker:
        producer = Producer({"bootstrap.servers": broker, "log_level": 0})
        producer.produce(TELEMETRY.name, b"x", partition=1)
        producer.flush()
        bitten, errors = threading.Event(), []

        def fatal(error):
            errors.append(error)
            bitten.set()

        read = Watchdog(
            broker, lambda: 0, lambda: Todo({(TELEMETRY.name, 1): 1, (TELEMETRY.name, 2): 0}, 0), fatal, 0.1
        )
        assert read._behind() == []
        unread = Watchdog(broker, lambda: 0, lambda: Todo({(TELEMETRY.name, 1): 0}, 2), fatal, 0.1)
        unread.start()
        assert bitten.wait(10)
        unread.end()
        assert isinstance(errors[0], StallError)
        assert f"there is more: messages in {TELEMETRY.name}[1], 2 unfinished" in str(errors[0])
    assert read._behind() == []
