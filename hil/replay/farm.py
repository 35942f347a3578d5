"""Where the parts of a replay are run: in this process, in processes of this machine, or on a Dask cluster.

Parts are plain functions of values, so where they run cannot change what they give.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from optimizer.errors import MissingPartError

CONNECT_S = 20
"""How long a cluster's scheduler is waited for [s]."""
LONGEST_CLOSE_S = 10
LOCAL_WORKERS = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.preload": ["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],
    "distributed.nanny.pre-spawn-environ": dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
}
"""As Dask starts them workers sample themselves a hundred times a second, and give every freed page back to the system
(MALLOC_TRIM_THRESHOLD_), which makes a third more work of the many small arrays here. A terminal's Ctrl-C is for this
process, which ends its workers."""


@dataclass(eq=False)
class Part:
    """One call to be made; arguments that are parts themselves stand for what they give."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    name: str
    urgency: float = 0.0
    """Parts that more work waits for come first."""
    needed_by: int = field(default=0, init=False)


class Farm(Protocol):
    """Runs parts."""

    def finished(self, parts: Sequence[Part], wanted: Sequence[Part]) -> Iterator[tuple[Part, Any]]:
        """What the wanted parts give, each as soon as it is there; `parts` holds all parts, each after those it needs.

        Raises what a part raises, and MissingPartError when the workers do not live.
        """


class ThisProcess:
    """One part after the other, here."""

    def finished(self, parts: Sequence[Part], wanted: Sequence[Part]) -> Iterator[tuple[Part, Any]]:
        for part in parts:
            for argument in part.arguments:
                if isinstance(argument, Part):
                    argument.needed_by += 1
        given: dict[Part, Any] = {}
        asked = set(wanted)
        for part in parts:
            result = part.function(*(given[a] if isinstance(a, Part) else a for a in part.arguments))
            if part.needed_by:
                given[part] = result
            for argument in part.arguments:
                if isinstance(argument, Part):
                    _used_once(argument, given)
            if part in asked:
                yield part, result


def _used_once(part: Part, given: dict[Part, Any]) -> None:
    """Lets go of a result that no later part needs."""
    part.needed_by -= 1
    if part.needed_by == 0:
        del given[part]


class Cluster:
    """A Dask cluster, of this machine or another; values that many parts share are sent to each worker once."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def finished(self, parts: Sequence[Part], wanted: Sequence[Part]) -> Iterator[tuple[Part, Any]]:
        from distributed import KilledWorker, as_completed

        shared: dict[int, Any] = {}
        futures: dict[Part, Any] = {}
        for part in parts:
            arguments = [self._placed(argument, futures, shared) for argument in part.arguments]
            call = partial(self._client.submit, part.function, *arguments)
            futures[part] = call(key=part.name, priority=part.urgency, pure=False)
        of_future = {futures[part].key: part for part in wanted}
        asked = [futures[part] for part in wanted]
        del futures
        for future in as_completed(asked):
            try:
                result = future.result()
            except KilledWorker as error:
                message = "workers ended by themselves, perhaps for lack of memory: use fewer of them"
                raise MissingPartError(f"{of_future[future.key].name}: {message}") from error
            yield of_future[future.key], result

    def _placed(self, argument: Any, futures: dict[Part, Any], shared: dict[int, Any]) -> Any:
        if isinstance(argument, Part):
            return futures[argument]
        if not getattr(argument, "shared_by_parts", False):
            return argument
        if id(argument) not in shared:
            shared[id(argument)] = self._client.scatter(argument, broadcast=True, hash=False)
        return shared[id(argument)]


@contextmanager
def farm(workers: int = 1, scheduler: str | None = None) -> Iterator[Farm]:
    """The farm: this process for one worker, else processes of this machine on loopback, or the cluster at an address.

    Raises:
        MissingPartError: nothing answers at the address.
    """
    if scheduler is None and workers == 1:
        yield ThisProcess()
        return
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        with _connected(scheduler) as client:
            yield Cluster(client)
        return
    with (
        dask.config.set(LOCAL_WORKERS),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # its server listens in any case, on a fixed port unless told
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Cluster(client)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise MissingPartError(f"no Dask scheduler answers at {address}: {error}; is it running?") from error
    with client:
        yield client
