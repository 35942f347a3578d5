"""A digest of all code that a simulated site runs through, and of its tables: others may give other results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

KINDS = (".py", ".yaml", ".json", ".npz")
"""Source, tables of facts, and what other loads have shown."""
ROOMS = ("optimizer", "forecasting", "site_configs", "settlement", "streams", "hil")


@cache
def code_digest() -> str:
    """Digest over the source of every room that a replay runs through."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for source in sorted(_sources(files(room)), key=lambda pair: pair[0]):
            digest.update(source[0].encode() + b"\0" + source[1] + b"\0")
    return digest.hexdigest()[:16]


def _sources(folder: Traversable, path: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{path}/{entry.name}"
        if entry.is_dir():
            yield from _sources(entry, name)
        elif name.endswith(KINDS):
            yield name, entry.read_bytes()
