"""What a run came to where stores have options: wear by depth, power taken beside what is stored."""

import pytest

from hil.measured import flows, wear
from hil.plant import Plant, offer, run_minutes
from hil.truth import Truth
from site_configs.site import Site


def run_battery(park, targets, minutes=60, **options):
    """The park's battery with options, told its power for the run."""
    data = park.PARK.model_dump(mode="json", by_alias=True)
    for device in data["devices"]:
        if device["id"] == "battery1":
            device.pop("wear_cost_per_kwh")
            device.update(options)
    truth = Truth.exact(Site.model_validate(data))
    plant = Plant(truth, park.drivers(truth))
    state, _ = offer(plant, plant.start(), {"battery1": park.setpoint(1, targets, minutes=minutes)})
    return plant, run_minutes(plant, state, minutes)[1]


def test_wear_by_depth_is_that_of_the_course(park):
    """From 50 %, 45 points below the highest, an hour of 100 kW goes on through 100/0.95 of 500 kWh.

    Two segments of 47.5 points each: 2.5 points still in the shallow one (11.875 kWh at the terminal), the rest deep.
    """
    by_depth = {"replacement_cost": 500_000.0, "segments": 2}
    plant, records = run_battery(park, 100.0, depth_wear=by_depth, standing_loss_per_hour=0.0)
    taken = [5.24e-4 * depth**2.03 for depth in (0.475, 0.95)]
    shallow, deep = (500_000 * part / (0.95 * 500 * 0.475) for part in (taken[0], taken[1] - taken[0]))
    (cost,) = [w.amount * w.price for w in wear(plant, records) if w.device == "battery1"]
    assert cost == pytest.approx(11.875 * shallow + 88.125 * deep)


def test_a_battery_that_rests_wears_nothing(park):
    plant, records = run_battery(park, 0.0, depth_wear={"replacement_cost": 500_000.0})
    (worn,) = [w for w in wear(plant, records) if w.device == "battery1"]
    assert (worn.amount, worn.price) == (0.0, 0.0)


def test_standing_power_is_bought(park):
    plain, cooled = (flows(*run_battery(park, 0.0, auxiliary_kw=kw)) for kw in (0.0, 5.0))
    assert (cooled - plain)["import_kw"].to_numpy() == pytest.approx([5.0] * 4)
    assert (cooled - plain)["machine_kw"].to_numpy() == pytest.approx([5.0] * 4)
