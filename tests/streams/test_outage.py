"""What a reported outage does to a situation: backup generators may run for as long as it is planned with."""

from datetime import UTC, datetime

import numpy as np

from optimizer.reported import steps_reported
from optimizer.situation import Prices
from optimizer.time_grid import TimeGrid
from site_configs.loader import load_site, site_of
from streams.interval import is_state
from streams.site_state import Outlook, SiteState

AT = datetime(2026, 8, 26, 4, tzinfo=UTC)


def seen(**grid_state: float):
    data = load_site("jiashan_park").model_dump(mode="json", by_alias=True, exclude_unset=True)
    diesel = {"id": "diesel", "kind": "backup_generator", "power_limit_kw": 300, "fuel_cost_per_kwh": 2.0}
    site = site_of({**data, "devices": [*data["devices"], diesel]}, "test")
    grid = TimeGrid(AT, 15, 48, (2.0, 2.0))
    nothing = np.zeros(grid.shape.steps)
    prices = Prices(nothing, nothing, ("flat",) * grid.shape.steps, (), (0,) * grid.shape.steps, nothing)
    outlook = Outlook(grid, {"load.demand_kw": nothing}, prices, ())
    return outlook.seen_from(SiteState(site.id, AT, {"grid": grid_state}, {}), site)


def test_backup_generators_may_run_in_an_outage_and_not_after_it():
    allowed = seen(import_limit_kw=0.0, export_limit_kw=0.0).series["diesel.allowed"]
    assert len(allowed) == 50
    assert list(np.flatnonzero(allowed)) == list(range(steps_reported(TimeGrid(AT, 15, 48, (2.0, 2.0)))))


def test_they_may_not_while_the_grid_is_there_whatever_is_left_of_it():
    for state in ({}, {"import_limit_kw": 900.0}, {"import_limit_kw": 50.0}):
        assert "diesel.allowed" not in seen(**state).series


def test_of_a_limit_the_last_reading_counts():
    assert is_state("grid.import_limit_kw")
    assert is_state("battery1.discharge_limit_kw")
    assert not is_state("meter.limit_kw")
