"""Sizing a park for a recorded year: the year model against one linear program; `year_sizing.py` measures it."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # this file has the name of the room: the room comes first

    from year_sizing import main

    main()
