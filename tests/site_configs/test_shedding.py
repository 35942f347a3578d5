"""The shed list: what may be interrupted, cheapest first; what may not is never on it."""

from site_configs.loader import load_site
from site_configs.shedding import shed_list


def test_the_cheapest_goes_first_and_critical_loads_never():
    site = load_site("jiashan_park")
    given = [
        {"id": "ovens", "interruption_price_per_kwh": 40.0},
        {"id": "lights", "interruption_price_per_kwh": 15.0},
        {"id": "movable"},
        {"id": "boiler", "carrier": "heat", "interruption_price_per_kwh": 1.0},
    ]
    loads = [{"kind": "flexible_load", "power_limit_kw": 100, **one} for one in given]
    data = site.model_dump(by_alias=True)
    changed = type(site).model_validate({**data, "devices": [*data["devices"], *loads]})
    assert shed_list(changed) == ("lights", "ovens")
    assert shed_list(site) == ()
