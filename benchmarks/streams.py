"""Readings per second, the way to a setpoint, many parks on one worker; `stream_figures.py` measures it.

This file has the name of the room: the room comes first, also for another script of this folder that imports it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path = [*(place for place in sys.path if Path(place).resolve() != HERE), str(HERE.parent), str(HERE)]

if __name__ == "__main__":
    import_module("stream_figures").run()
else:
    del sys.modules[__name__]
    import_module(__name__)
