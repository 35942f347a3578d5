"""Compiled code is kept for later processes, and only for the code that it was made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import hil.compiling
if {other}:
    hil.compiling.code_digest = lambda: "of other code"
from hil.compiling import kept
from squares import square
function = kept(square)
assert function(3.0) == 9.0
print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
"""


def hits_and_misses(folder: Path, other: bool = False, cache: str = "cache") -> list[int]:
    """Of a process of its own that compiles one function."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / cache), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", SCRIPT.format(other=other)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in ran.stdout.split()]


def test_a_second_process_finds_what_the_first_compiled_and_other_code_does_not(tmp_path: Path) -> None:
    (tmp_path / "squares.py").write_text("def square(x):\n    return x * x\n")
    assert hits_and_misses(tmp_path) == [0, 1]
    assert hits_and_misses(tmp_path) == [1, 0]
    assert hits_and_misses(tmp_path, other=True) == [0, 1]


def test_without_a_place_it_is_compiled_every_time(tmp_path: Path) -> None:
    (tmp_path / "squares.py").write_text("def square(x):\n    return x * x\n")
    (tmp_path / "file").touch()
    for _ in range(2):
        assert hits_and_misses(tmp_path, cache="file") == [0, 1]
