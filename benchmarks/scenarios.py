"""The shipped scenarios of the bench: all of them under the engine, and each bad controller where it must be caught.

One process, one core, after the plant has been compiled. A scenario counts as passed when all its criteria hold on the
plant's records; a pair as caught when at least one does not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import perf_counter, process_time

from figures import Figure, main

from hil.scenarios.controllers import ENGINE
from hil.scenarios.loading import load_setting, shipped_scenarios
from hil.scenarios.report import run_and_judge


def measure() -> Sequence[Figure]:
    settings = [load_setting(name) for name in shipped_scenarios()]
    run_and_judge(settings[0], "silent")  # compiles
    began, worked = perf_counter(), process_time()
    passed = [run_and_judge(setting, ENGINE)[0].passed for setting in settings]
    engine_s, engine_cpu_s = perf_counter() - began, process_time() - worked
    pairs = [(setting, bad) for setting in settings for bad in setting.scenario.caught]
    caught = [not run_and_judge(setting, bad)[0].passed for setting, bad in pairs]
    missed = [f"{s.scenario.id}: {bad}" for (s, bad), found in zip(pairs, caught, strict=True) if not found]
    failed = [s.scenario.id for s, found in zip(settings, passed, strict=True) if not found]
    for line in (*failed, *missed):
        print(f"not as it should be: {line}", file=sys.stderr)
    minutes = sum(setting.scenario.minutes for setting in settings)
    return [
        Figure("scenarios", len(settings), "", f"{minutes} minutes of plant time"),
        Figure("scenarios_passed", sum(passed), "", "under the engine; asked: all"),
        Figure("scenarios_cpu_s", engine_cpu_s, "s", "work of one core, all under the engine; asked: at most 180"),
        Figure("scenarios_s", engine_s, "s", "the same by the clock on the wall"),
        Figure("pairs", len(pairs), "", "of a scenario and a controller that is bad on purpose"),
        Figure("pairs_caught", sum(caught), "", "asked: all"),
    ]


if __name__ == "__main__":
    main("scenarios", __doc__ or "", measure)
