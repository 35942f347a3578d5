"""Worker processes for work that must not hold up the stream and must be stoppable: a deadline ends the process.

A solver's own time limit is not a hard one, so the limit is kept from outside: the process is killed and another takes
its place. Workers end with their parent, however it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol

START_LIMIT_S = 120.0
"""Starting a process and importing the solver takes seconds; on a crowded machine many."""
_PR_SET_PDEATHSIG = 1
_READY, _PART, _DONE, _FAILED = "ready", "part", "done", "failed"
_JOB, _ATTACH = "job", "attach"

Emit = Callable[[Any], None]


class WorkerError(Exception):
    """A job got no answer; says why."""


class Handler(Protocol):
    """What a worker does; pickled once, then it lives in the worker and may remember."""

    def attach(self, key: str, content: bytes) -> None:
        """Takes in something that several jobs need."""

    def handle(self, job: Any, emit: Emit) -> Any:
        """The answer to a job; `emit` hands out a part of it beforehand."""


@dataclass(frozen=True)
class Attachment:
    """Something that jobs of one key need; it is sent to a worker once for each version."""

    key: str
    version: str
    content: bytes


@dataclass
class Worker:
    """One process with the pipe to it."""

    process: Any
    pipe: Connection
    served: set[str] = field(default_factory=set)
    attached: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    def wait_ready(self) -> None:
        """Blocks until the process has imported what it needs."""
        if self.pipe.recv() != (_READY, None):
            raise WorkerError("the worker process did not say that it is ready")

    def attach(self, attachment: Attachment | None) -> None:
        if attachment is not None and self.attached.get(attachment.key) != attachment.version:
            self.pipe.send((_ATTACH, (attachment.key, attachment.content)))
            self.attached[attachment.key] = attachment.version

    def exchange(self, job: Any, attachment: Attachment | None, on_part: Emit) -> Any:
        """Blocks until the answer is there; raises WorkerError when the job failed or the process ended."""
        try:
            self.attach(attachment)
            self.pipe.send((_JOB, job))
            while True:
                kind, content = self.pipe.recv()
                if kind == _DONE:
                    return content
                if kind == _FAILED:
                    raise WorkerError(content)
                on_part(content)
        except (EOFError, OSError) as error:
            self.ended = True
            raise WorkerError("the worker process ended") from error

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class WorkerPool:
    """A fixed number of workers; a job goes to one that has served its key before, if one is free."""

    def __init__(self, count: int, handler: Handler, niceness: int = 0) -> None:
        self._count = count
        self._handler = handler
        self._niceness = niceness
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._freed = asyncio.Condition()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker-pipe")

    async def __aenter__(self) -> WorkerPool:
        self._workers = [self._spawn() for _ in range(self._count)]
        try:
            await asyncio.gather(*(self._ready(worker) for worker in self._workers))
        except BaseException:
            self.close()
            raise
        self._idle = list(self._workers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all workers at once."""
        workers, self._workers, self._idle = self._workers, [], []
        for worker in workers:
            worker.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(
        self,
        key: str,
        job: Any,
        limit_s: Callable[[bool], float],
        attachment: Attachment | None = None,
        on_part: Emit = lambda part: None,
    ) -> Any:
        """The answer to a job of `key`.

        Args:
            limit_s: seconds allowed, from whether the worker has served the key before; the process is killed after it.
            on_part: gets, in a thread of the pool, what the handler emits.

        Raises:
            WorkerError: the job failed, took too long, or its process ended.
            CancelledError: on the way out only; the worker has ended and is not replaced.
        """
        worker = await self._take(key)
        limit = limit_s(key in worker.served)
        loop = asyncio.get_running_loop()
        answer = loop.run_in_executor(self._threads, worker.exchange, job, attachment, on_part)
        try:
            result = await asyncio.wait_for(asyncio.shield(answer), limit)
        except TimeoutError as error:
            await self._put_another(worker, answer)
            raise WorkerError(f"no answer within {limit:g} s, the worker was ended") from error
        except WorkerError:
            if worker.ended:
                await self._put_another(worker, answer)
            else:
                await self._give_back(worker)
            raise
        except asyncio.CancelledError:
            worker.kill()
            raise
        worker.served.add(key)
        await self._give_back(worker)
        return result

    async def _take(self, key: str) -> Worker:
        async with self._freed:
            await self._freed.wait_for(lambda: bool(self._idle))
            worker = next((worker for worker in self._idle if key in worker.served), self._idle[0])
            self._idle.remove(worker)
            return worker

    async def _give_back(self, worker: Worker) -> None:
        async with self._freed:
            self._idle.append(worker)
            self._freed.notify()

    async def _put_another(self, worker: Worker, answer: asyncio.Future[Any]) -> None:
        """Ends a worker and puts a fresh one in its place."""
        worker.kill()
        await asyncio.wait([answer])
        answer.exception()
        self._workers.remove(worker)
        fresh = self._spawn()
        self._workers.append(fresh)
        await self._ready(fresh)
        await self._give_back(fresh)

    def _spawn(self) -> Worker:
        """Must be called in the main thread: the kernel ends a worker with the thread that started it."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, os.getpid(), self._handler, self._niceness), daemon=True, name="quartet-worker"
        )
        process.start()
        theirs.close()
        return Worker(process, ours)

    async def _ready(self, worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.run_in_executor(self._threads, worker.wait_ready), START_LIMIT_S)
        except TimeoutError as error:
            raise WorkerError(f"a worker process was not ready within {START_LIMIT_S:g} s") from error
        except (EOFError, OSError) as error:
            raise WorkerError("a worker process ended while it started") from error


def _serve(pipe: Connection, parent: int, handler: Handler, niceness: int) -> None:
    _die_with(parent)
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, signal.SIG_IGN)
    os.nice(niceness)
    pipe.send((_READY, None))
    while True:
        try:
            kind, content = pipe.recv()
        except EOFError:
            return
        if kind == _ATTACH:
            handler.attach(*content)
        else:
            pipe.send(_handled(handler, content, lambda part: pipe.send((_PART, part))))


def _handled(handler: Handler, job: Any, emit: Emit) -> tuple[str, Any]:
    try:
        return _DONE, handler.handle(job, emit)
    except Exception as error:  # one site's bad day must not end the worker of others
        return _FAILED, f"{type(error).__name__}: {error}"


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
