"""A grid meter that stands still is told from one that measures a calm site."""

from functools import reduce

from streams.gateways.meter_watch import LOOKS, MeterWatch


def after(*looks: tuple[float, float]) -> MeterWatch:
    """What is known after looks at the meter and at the devices' power [kW]."""
    return reduce(lambda watch, look: watch.with_look(*look), looks, MeterWatch())


def test_a_calm_site_may_show_one_value_for_ever():
    assert not after(*[(400.0, -50.0)] * 100).stands_still
    assert not after(*[(0.0, kw) for kw in (50.0, 55.0, 45.0, 52.0)] * 10).stands_still


def test_devices_that_move_find_it_out():
    wound_up = [(900.0, 100.0 * n) for n in range(LOOKS + 1)]
    assert not after(*wound_up[:-1]).stands_still
    assert after(*wound_up).stands_still


def test_it_counts_as_standing_until_its_value_changes():
    still = [(900.0, 0.0), *[(900.0, 200.0)] * LOOKS]
    assert after(*still, (900.0, 0.0)).stands_still
    assert not after(*still, (899.9, 0.0)).stands_still
    assert not after(*still, (899.9, 0.0), (899.9, 200.0)).stands_still
