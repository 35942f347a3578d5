"""Closed loop through the gateway: setpoints as messages every quarter hour, the gateway's local loop every minute.

The gateway is the very one that runs at a site, on a face without a protocol; minutes are the plant's finest step, so
the local loop looks once a minute here, at what the minute before has measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from hil.closed_loop import Run, RunningPeaks, site_state
from hil.direct_face import DirectFace
from hil.plant import Records
from hil.recorded import lead_in, recorded_plant
from hil.site_controller import SiteController
from hil.truth import Truth
from optimizer.time_grid import Array
from site_configs.history import History
from site_configs.site import Site
from site_configs.tariff import load_tariff
from streams.gateways.local_loop import limits_of
from streams.gateways.site_setpoints import SiteSetpoints
from streams.messages import Acknowledgement, SetpointMessage
from streams.site_state import SiteState

Tell = Callable[[SiteState], Iterable[SetpointMessage]]
"""Decides from what is known at `state.at`."""
MINUTES = 15


@dataclass(frozen=True)
class GatewayRun:
    """What a run left behind."""

    run: Run
    acks: tuple[Acknowledgement, ...]

    @property
    def peak_kw(self) -> float:
        """Highest mean import over 15 minutes, moved on minute by minute (RULES 1.3) [kW]."""
        return float(sliding_demand_kw(self.run.records.get("meter.import_kw")).max())


def run_through_gateway(
    site: Site,
    history: History,
    start: datetime,
    quarters: int,
    tell: Tell,
    *,
    seed: int,
    truth: Truth | None = None,
    peaks_kw: Mapping[str, float] | None = None,
    local_loop: bool = True,
) -> GatewayRun:
    """Runs `quarters` quarter hours from `start`; without `local_loop` devices follow their setpoints blindly.

    `truth` should not guard by itself (`Truth.guards`), or two loops would act on one site.

    Raises:
        InputError: the history does not cover the run.
    """
    plant = recorded_plant(site, history, start, quarters, seed, truth)
    state, _ = lead_in(plant)
    controller, acks = SiteController(plant, state), list[Acknowledgement]()
    seconds = 0.0
    controlled = [device for device in site.devices if device.id in plant.controlled]
    gateway = SiteSetpoints(
        site.id,
        controlled,
        DirectFace(controller),
        acks.append,
        lambda: seconds,
        limits_of(site) if local_loop else None,
    )
    peaks, parts = RunningPeaks(site, load_tariff(site), peaks_kw or {}), []
    for _ in range(quarters):
        began = controller.clock
        gateway.handle(tell(site_state(plant, controller.state, peaks.at(began))))
        minutes = []
        for _ in range(MINUTES):
            gateway.turn()
            minutes.append(controller.run(1))
            seconds += 60.0
        parts.append(Records.joined(minutes))
        peaks.add(began, float(parts[-1].get("meter.import_kw").mean()))
    return GatewayRun(Run(plant, Records.joined(parts), peaks.at(controller.clock)), tuple(acks))


def sliding_demand_kw(import_kw: Array) -> Array:
    """(minutes - 14,) mean of every 15 minutes that follow one another."""
    return np.convolve(import_kw, np.full(MINUTES, 1.0 / MINUTES), "valid")
