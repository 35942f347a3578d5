"""The truth: within its deviations, seeded, and for tests none at all."""

import numpy as np
import pytest

from hil.truth import Deviation, Truth


def test_exact_truth_is_the_plans_own(park):
    truth = Truth.exact(park.PARK)
    assert truth.devices == park.PARK.devices
    assert truth.flutters == {}
    assert truth.dynamics.delay_minutes == 0


def test_drawn_truth_lies_within_the_deviations(park):
    spans = Deviation()
    by_id = {device.id: device for device in park.PARK.devices}
    for seed in range(30):
        real = {device.id: device for device in Truth.drawn(park.PARK, np.random.default_rng(seed)).devices}
        battery, plan = real["battery1"], by_id["battery1"]
        least, greatest = spans.battery_efficiency_lost
        assert least <= plan.charge_efficiency - battery.charge_efficiency <= greatest
        assert least <= plan.discharge_efficiency - battery.discharge_efficiency <= greatest
        assert 0.02 <= 1 - battery.capacity_kwh / plan.capacity_kwh <= 0.06
        assert real["cold_store"].loss_per_hour >= by_id["cold_store"].loss_per_hour
        shares = [a[1] / b[1] for a, b in zip(real["chiller1"].cop_points, by_id["chiller1"].cop_points, strict=True)]
        assert shares == pytest.approx([shares[0]] * len(shares))
        assert 0.92 <= shares[0] <= 1.02
        assert real["load"] == by_id["load"]


def test_same_seed_same_truth(park):
    one, two, other = (Truth.drawn(park.PARK, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert one == two
    assert one != other
