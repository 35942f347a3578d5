"""Sizing a park for a recorded year: the year model against one linear program; `year_sizing.py` measures it."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # this file has the name of the room: the room comes first

    from year_sizing import main

    main()
