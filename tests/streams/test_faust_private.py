"""The names of Faust that are not public: pinned to the version they were read in."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import pytest

from streams.faust_private import FAUST_VERSION

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("PYTHONWARNINGS", "ignore")
    from aiokafka.consumer.fetcher import Fetcher
    from faust.transport.consumer import Consumer, ThreadDelegateConsumer
    from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread


def test_the_version_is_the_one_that_was_read():
    assert version("faust-streaming") == FAUST_VERSION


@pytest.mark.parametrize("consumer", [Consumer, ThreadDelegateConsumer])
def test_commit_takes_offsets_by_partition_and_says_whether_it_was_done(consumer):
    signature = inspect.signature(consumer._commit)
    assert list(signature.parameters) == ["self", "offsets"]
    assert signature.return_annotation is bool
    assert inspect.iscoroutinefunction(consumer._commit)


def test_the_wait_of_a_fetch_is_where_it_is_set():
    assert "_fetch_max_wait_ms" in inspect.getsource(Fetcher)
    assert "fetch_max_wait_ms=1500" in inspect.getsource(AIOKafkaConsumerThread)
    assert "self._consumer = " in inspect.getsource(AIOKafkaConsumerThread)
    assert "self._thread = " in inspect.getsource(ThreadDelegateConsumer)


def test_committed_offsets_are_taken_over_at_every_assignment():
    assert "_committed_offset" in inspect.getsource(Consumer.perform_seek)
    assert "_committed_offset" in inspect.getsource(Consumer.on_partitions_revoked)
