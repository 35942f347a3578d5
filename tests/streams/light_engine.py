"""The engine of the light park in a process of its own, without a recorded past: quick to start."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from streams.engine_service import EngineSettings, run_engine
from tests.streams.story import light_park

PARK = light_park().model_copy(update={"horizon_hours": 4.0, "tail_step_hours": 24.0})

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    run_engine([PARK], EngineSettings(sys.argv[1], Path(sys.argv[2]), deadline_s=20, fit_wait_s=0.0))
