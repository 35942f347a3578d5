"""The usual way to use Faust, to compare with: an agent that keeps its state in a Table and awaits its work.

Each quarter hour's readings are summed in a Table; at the tick the work is awaited (as long as a small plan takes) and
the answer is sent. Faust commits offsets and recovers the Table by itself. It is written as its documentation shows it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import faust

WORK_S = 0.03
"""About what a plan of a small park takes."""


def usual_app(broker: str, topic: str, answers: str, partitions: int) -> faust.App:
    """Reads `topic`; sends {"site", "time", "sum", "count"} to `answers` for each tick."""
    app = faust.App(
        f"usual-{topic}",
        broker=f"kafka://{broker}",
        store="memory://",
        datadir=Path(tempfile.gettempdir()) / "usual-faust",
        web_enabled=False,
        topic_partitions=partitions,
        topic_replication_factor=1,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
    )
    told = app.topic(topic, key_type=str, value_serializer="json")
    out = app.topic(answers, key_type=str, value_serializer="json")
    sums = app.Table("sums", default=dict, partitions=partitions)

    @app.agent(told)
    async def answer(stream: Any) -> None:
        async for message in stream:
            site = message["site"]
            state = sums[site]
            if message["type"] == "reading":
                seen = state.setdefault("values", [])
                seen.append(message["value"])
                sums[site] = state
            else:
                values = state.get("values", [])
                await asyncio.sleep(WORK_S)
                said = {"site": site, "quarter": message["quarter"], "sum": sum(values), "count": len(values)}
                await out.send(key=site, value=said)
                sums[site] = {"values": []}

    return app


def main(words: str) -> None:
    """A worker; `words` are the arguments of `usual_app` as JSON."""
    app = usual_app(**json.loads(words))
    faust.Worker(app, loglevel="ERROR").execute_from_commandline()
