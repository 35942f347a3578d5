"""The plan's time and worth: against HiGHS alone, against the model as most tools write it, against linopy.

`reference_park.py` says which park; `warm_cycle.py`, `week_loop.py`, `scale.py` and `shipped_day.py` how it is
measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import scale
import shipped_day
import warm_cycle
import week_loop
from figures import Figure, Parts, main


def closed_loop() -> Sequence[Figure]:
    with ProcessPoolExecutor(2) as pool:
        ours, usual = pool.map(week_loop.week_cost, ("ours", "usual"))
    how = f"{week_loop.DAYS} days, a plan every two hours, executed on the physical steps"
    return [
        Figure("closed_loop_full_park_cost", ours, "CNY", how),
        Figure("closed_loop_full_park_over_usual", ours / usual, "ratio", f"{how}; usual: all binaries, gap 1e-4"),
    ]


PARTS: Parts = {
    "warm_cycle": warm_cycle.figures,
    "scale": scale.figures,
    "shipped_day": shipped_day.figures,
    "closed_loop": closed_loop,
}

if __name__ == "__main__":
    main("dispatch", __doc__ or "", PARTS)
