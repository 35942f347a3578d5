"""The engine seen from outside: its figures for Prometheus, and one word on how it is.

Figures that the engine keeps anyway are read when they are asked for; only times are noted as they pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.scraped import scraped

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LATE_S = 300.0
"""A cycle that waits longer for its answer than this makes the engine unwell: a third of a quarter hour."""


class CycleTimes:
    """How long the parts of cycles take, and what the answers were."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._parts = Histogram(
            "quartet_cycle_seconds",
            "Time of a control cycle by part: queue, decide, write, send",
            ["part"],
            registry=registry,
            buckets=BUCKETS_S,
        )
        self._answers = Counter(
            "quartet_answers", "Answers by where they come from; all but optimal and feasible are fallbacks",
            ["status"], registry=registry,
        )  # fmt: skip

    def note(self, part: str, seconds: float) -> None:
        self._parts.labels(part).observe(seconds)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.note(part, time.perf_counter() - began)

    def answered(self, status: str) -> None:
        self._answers.labels(status).inc()


class TopicFigures(NamedTuple):
    """One topic as this worker sees it."""

    messages: int
    """Taken in since the start."""
    waiting: int
    lag: Mapping[int, int]
    """By partition assigned: messages on the broker that were not taken in yet."""


@dataclass(frozen=True)
class Figures:
    """What the engine is asked for at each scrape."""

    topics: Mapping[str, TopicFigures]
    dead_letters: int
    ages_s: Mapping[tuple[str, str], float]
    """By site and signal: how old its newest value is, by the site's clock."""
    clocks: Mapping[str, datetime]
    """By site in hand: its clock."""
    oldest_wait_s: float
    """How long the cycle that waits longest has waited for its answer; 0 when none does."""


@dataclass(frozen=True)
class Health:
    """One word, and what it stands on."""

    status: str
    """ok; starting: nothing is assigned yet (or another worker has it all); late: a cycle waits too long; hangs: the
    engine does not answer."""
    partitions: int
    sites: int
    oldest_wait_s: float

    @classmethod
    def of(cls, figures: Figures) -> Health:
        partitions = sum(len(topic.lag) for topic in figures.topics.values())
        status = "late" if figures.oldest_wait_s > LATE_S else "ok" if partitions else "starting"
        return cls(status, partitions, len(figures.clocks), round(figures.oldest_wait_s, 3))


class EngineCollector(Collector):
    """Turns the engine's own figures into metrics."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        found = self._figures()
        taken = CounterMetricFamily("quartet_messages", "Messages taken in", labels=["topic"])
        waiting = GaugeMetricFamily("quartet_waiting", "Messages and cycles in hand", labels=["topic"])
        lag = GaugeMetricFamily("quartet_lag_messages", "Messages not taken in yet", labels=["topic", "partition"])
        for name, topic in found.topics.items():
            taken.add_metric([name], topic.messages)
            waiting.add_metric([name], topic.waiting)
            for partition, count in topic.lag.items():
                lag.add_metric([name, str(partition)], count)
        ages = GaugeMetricFamily("quartet_signal_age_seconds", "Age of the newest value", labels=["site", "signal"])
        for (site, signal), age_s in found.ages_s.items():
            ages.add_metric([site, signal], age_s)
        clocks = GaugeMetricFamily("quartet_site_clock_seconds", "The site's clock, since 1970", labels=["site"])
        for site, clock in found.clocks.items():
            clocks.add_metric([site], clock.timestamp())
        dead = CounterMetricFamily("quartet_dead_letters", "Messages that could not be used")
        dead.add_metric([], found.dead_letters)
        wait = GaugeMetricFamily("quartet_oldest_wait_seconds", "How long the oldest unanswered cycle has waited")
        wait.add_metric([], found.oldest_wait_s)
        return (taken, waiting, lag, ages, clocks, dead, wait)


@contextmanager
def observed(place: str | None, registry: CollectorRegistry, figures: Callable[[], Figures]) -> Iterator[None]:
    """The engine's figures and health at `host:port` while the block runs; without a place nothing listens.

    Raises:
        InputError: the place is none.
        MissingPartError: it is taken.
    """
    if place is not None:
        registry.register(EngineCollector(figures))
    with scraped(place, registry, partial(_health, figures)):
        yield


def _health(figures: Callable[[], Figures]) -> Health:
    try:
        return Health.of(figures())
    except TimeoutError:
        return Health("hangs", 0, 0, 0.0)
