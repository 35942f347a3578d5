"""Every service the house knows, one line each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optimizer.services.carbon_limit import CarbonLimit
from optimizer.services.demand_response import DemandResponse
from optimizer.services.island_reserve import IslandReserve
from optimizer.services.peak_course import PeakCourse
from optimizer.services.peak_reserve import PeakReserve
from optimizer.services.reserve_capacity import ReserveCapacity

AnyService = Annotated[
    CarbonLimit | DemandResponse | IslandReserve | PeakCourse | PeakReserve | ReserveCapacity,
    Field(discriminator="kind"),
]
