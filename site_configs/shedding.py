"""Which loads go first when power is short: the site's shed list (RULES 8), one for its cabinet and for its plans.

A load that may be interrupted has a price for it; the cheapest goes first. A plan sheds by the same prices, so that
relays on site and setpoints agree. Loads without such a price are critical: they are never on the list.
"""

from __future__ import annotations

from optimizer.devices.flexible_load import FlexibleLoad
from site_configs.site import Site


def shed_list(site: Site) -> tuple[str, ...]:
    """Electric loads that can be shed whole, in the order in which they go."""
    prices = [
        (load.interruption_price_per_kwh, load.id)
        for load in site.devices
        if isinstance(load, FlexibleLoad) and load.carrier == "power" and load.interruption_price_per_kwh is not None
    ]
    return tuple(name for _, name in sorted(prices))
