"""The names of Faust that are not public and that the engine needs, in one place; a test pins them to the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FAUST_VERSION = "0.15.3"


async def commit(app: Any, offsets: Mapping[Any, int]) -> bool:
    """Commits offsets of the group as they are given; False when a rebalance has overtaken it."""
    done: bool = await app.consumer._commit(offsets)
    return done


def committed_offset(app: Any, partition: Any) -> int | None:
    """The group's committed offset that the assignment of a partition began at; None when there was none."""
    offset: int | None = app.consumer._committed_offset[partition]
    return offset
