"""The recommended size against a full grid of sizes judged the same way; `grid_of_sizes.py` measures it."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # `sizing` is the room, not the benchmark of that name

    from grid_of_sizes import main

    main()
