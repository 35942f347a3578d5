"""Parts give the same wherever they are run."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from hil.replay.farm import Farm, Part, ThisProcess, farm
from optimizer.errors import MissingPartError


@dataclass(frozen=True)
class Shared:
    """A value that many parts need."""

    value: int
    shared_by_parts: bool = True


def added(shared: Shared, *others: int) -> int:
    return shared.value + sum(others)


def refused() -> int:
    raise ValueError("no")


def results(place: Farm) -> dict[str, int]:
    shared = Shared(1)
    first = Part(added, (shared,), "first")
    second = Part(added, (shared, first, first), "second")
    third = Part(added, (shared, second, first), "third", urgency=2.0)
    return {part.name: given for part, given in place.finished([first, second, third], [second, third])}


def test_a_cluster_gives_what_this_process_gives() -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        farm(scheduler=cluster.scheduler_address) as place,
    ):
        assert results(place) == results(ThisProcess()) == {"second": 3, "third": 5}
        with pytest.raises(ValueError, match="no"):
            list(place.finished([failing := Part(refused, (), "failing")], [failing]))


def test_one_worker_is_this_process() -> None:
    with farm(1) as place:
        assert isinstance(place, ThisProcess)


def test_an_address_without_a_scheduler_is_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil.replay.farm.CONNECT_S", 1)
    with pytest.raises(MissingPartError, match=r"127\.0\.0\.1:1"), farm(scheduler="tcp://127.0.0.1:1"):
        pass
