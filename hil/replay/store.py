"""Finished blocks of a replay in a folder: one that was stopped goes on where it was.

A folder belongs to one case by its key, which covers inputs, terms and code; each block is a file that appears whole or
not at all. The files are pickles of one's own runs: do not put others' into the folder.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any


class Store:
    """The finished parts of one case, by name; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self._folder = None if folder is None else folder / key
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Any | None:
        """A finished part; None when there is none, or its file was cut off."""
        path = self._path(name)
        if path is None or not path.exists():
            return None
        try:
            return pickle.loads(path.read_bytes())
        except (pickle.UnpicklingError, EOFError):
            return None

    def put(self, name: str, part: Any) -> None:
        """Keeps a finished part."""
        path = self._path(name)
        if path is not None:
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(pickle.dumps(part))
            unfinished.replace(path)

    def _path(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{name}.pickle"
