"""Worker processes: they answer, they are ended at the deadline, they end with their parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.workers import Attachment, WorkerError, WorkerPool

PROJECT = Path(__file__).parents[2]


class Errands:
    """What the workers of these tests do."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.done = 0

    def attach(self, key, content):
        self.kept[key] = content

    def handle(self, job, emit):
        self.done += 1
        if job == "hang":
            emit("first half")
            time.sleep(60)
        if job == "die":
            os._exit(3)
        if job == "fail":
            raise ValueError("bad job")
        return {"pid": os.getpid(), "done": self.done, "kept": self.kept.get(job)}


@pytest.fixture(autouse=True)
def workers_find_the_tests(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT)


def seconds(limit: float):
    return lambda served: limit


def test_a_worker_answers_remembers_and_is_replaced():
    async def run():
        parts = []
        async with WorkerPool(1, Errands()) as pool:
            first = await pool.run("a", "job", seconds(30))
            second = await pool.run("a", "job", seconds(30), Attachment("job", "v1", b"model"))
            assert (second["pid"], second["done"], second["kept"]) == (first["pid"], 2, b"model")
            with pytest.raises(WorkerError, match="ValueError: bad job"):
                await pool.run("a", "fail", seconds(30))
            assert (await pool.run("a", "job", seconds(30)))["pid"] == first["pid"]
            with pytest.raises(WorkerError, match=r"no answer within 0\.5 s, the worker was ended"):
                await pool.run("a", "hang", seconds(0.5), on_part=parts.append)
            third = await pool.run("a", "job", seconds(30))
            assert parts == ["first half"]
            assert (third["done"], third["kept"]) == (1, None)
            assert third["pid"] != first["pid"]
            with pytest.raises(WorkerError, match="the worker process ended"):
                await pool.run("a", "die", seconds(30))
            fourth = await pool.run("a", "job", seconds(30), Attachment("job", "v1", b"model"))
            assert (fourth["done"], fourth["kept"]) == (1, b"model")
        with pytest.raises(ProcessLookupError):
            os.kill(fourth["pid"], 0)

    asyncio.run(run())


def test_on_the_way_out_a_job_is_given_up():
    async def run():
        async with WorkerPool(1, Errands()) as pool:
            started = asyncio.Event()
            loop = asyncio.get_running_loop()
            job = pool.run("a", "hang", seconds(60), on_part=lambda part: loop.call_soon_threadsafe(started.set))
            task = asyncio.create_task(job)
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_a_site_goes_back_to_the_worker_that_knows_it():
    async def run():
        async with WorkerPool(2, Errands()) as pool:
            a, b = await asyncio.gather(pool.run("a", "x", seconds(30)), pool.run("b", "x", seconds(30)))
            assert a["pid"] != b["pid"]
            for _ in range(3):
                assert (await pool.run("b", "x", seconds(30)))["pid"] == b["pid"]
                assert (await pool.run("a", "x", seconds(30)))["pid"] == a["pid"]

    asyncio.run(run())


PARENT = """
import asyncio, os, sys
from streams.workers import WorkerPool
from tests.streams.test_workers import Errands, seconds

async def main():
    async with WorkerPool(1, Errands()) as pool:
        print((await pool.run("a", "x", seconds(30)))["pid"], flush=True)
        await pool.run("a", "hang", seconds(60))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.e2e
def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(PROJECT)}
    ) as parent:
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert ended(worker)


def ended(pid: int, limit_s: float = 10) -> bool:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
