"""The names of Faust that are not public and that the engine needs, in one place; a test pins them to the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAUST_VERSION = "0.15.3"


async def commit(app: Any, offsets: Mapping[Any, int]) -> bool:
    """Commits offsets of the group as they are given; False when a rebalance has overtaken it."""
    done: bool = await app.consumer._commit(offsets)
    return done


def set_fetch_wait(app: Any, milliseconds: int) -> None:
    """How long the broker may hold back an empty fetch; Faust has it fixed at 1.5 s. To be called after the start."""
    app.consumer._thread._consumer._fetcher._fetch_max_wait_ms = milliseconds


def committed_offset(app: Any, partition: Any) -> int | None:
    """The group's committed offset that the assignment of a partition began at; None when there was none."""
    offset: int | None = app.consumer._committed_offset[partition]
    return offset
