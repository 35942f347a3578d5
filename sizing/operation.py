"""What sizes save in each year of their life: the year model run again with what age has left of them.

    saving_y = factor_y · (saving of options + captured · (running cost without - with the sizes of year y))
    health   = 1 - L(damage), damage by the course's cycles and time (Xu et al. 2018, RULES 5), then new cells

Savings are of options first, which do not age, then of PV, then of the battery beside it. `captured` is the share of
the foreseen saving that the engine earns in closed loop; wear is no payment and is left out of savings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hil.physics.ageing import xu_capacity_lost, xu_damage
from optimizer.time_grid import Array
from sizing.park_year import ENERGY, SUN, ParkYear
from sizing.site_year import BuiltSizes, SizedSite
from sizing.year_model import best_course


@dataclass(frozen=True, eq=False)
class Running:
    """A year with given sizes, dispatched at least cost."""

    cost: float
    """Paid for energy and demand, wear not included [money in the stretch]."""
    discharged_kwh: float
    sun_kwh: float
    """PV that could be made, what is cut included."""
    import_kwh: float
    battery_kwh: Array
    """(n+1,) usable energy."""


@dataclass(frozen=True)
class OperatingYear:
    """One year of the life of what is built; money is of that year."""

    year: int
    """1 for the first."""
    pv_saving: float
    battery_saving: float
    options_saving: float
    discharged_kwh: float
    sun_kwh: float
    cost_without: float
    """Bill, less what export earns, with nothing built [money]."""
    import_without_kwh: float
    import_kwh: float
    """With what is built."""
    health: float
    """Share of the battery's first capacity at the year's start [-]."""
    replaced: bool
    """Whether new cells are bought at the year's start."""

    @property
    def saving(self) -> float:
        return self.pv_saving + self.battery_saving + self.options_saving


def running(year: ParkYear, sizes: Array) -> Running:
    """The least that a year costs with these sizes, in usable energy; investment not included."""
    cost, course = best_course(year, tuple(map(float, sizes)))
    discharged = -np.minimum(course.battery_kw, 0.0).sum() * year.hours
    return Running(
        cost=cost - year.battery.wear_per_kwh * discharged,
        discharged_kwh=float(discharged),
        sun_kwh=float(sizes[SUN] * year.sun.sum() * year.hours),
        import_kwh=float(np.maximum(course.net_kw, 0.0).sum() * year.hours),
        battery_kwh=course.battery_kwh,
    )


def operating_years(sized: SizedSite, built: BuiltSizes, captured: float, options_saving: float) -> list[OperatingYear]:
    """Every year of the horizon; options save `options_saving` in the stretch."""
    return list(_years(sized, built, captured, options_saving))


def _years(sized: SizedSite, built: BuiltSizes, captured: float, options_saving: float) -> Iterator[OperatingYear]:
    economics, sizes = sized.candidates.economics, sized.usable(built)
    without = running(sized.year, np.zeros(5))
    damage = 0.0
    for year in range(1, economics.horizon_years + 1):
        replaced = damage > 0.0 and 1.0 - xu_capacity_lost(damage) <= _end_of_life(sized)
        damage = 0.0 if replaced else damage
        health = 1.0 - xu_capacity_lost(damage)
        aged = sizes * [health, 1.0, _pv_health(sized, year), 1.0, 1.0]
        with_pv = running(sized.year, aged * [0.0, 0.0, 1.0, 0.0, 0.0])
        with_all = running(sized.year, aged)
        priced = sized.per_year * economics.tariff_factor(year)
        yield OperatingYear(
            year=year,
            pv_saving=(without.cost - with_pv.cost) * priced * captured,
            battery_saving=(with_pv.cost - with_all.cost) * priced * captured,
            options_saving=options_saving * priced,
            discharged_kwh=with_all.discharged_kwh * sized.per_year,
            sun_kwh=with_all.sun_kwh * sized.per_year,
            cost_without=(without.cost + options_saving) * priced,
            import_without_kwh=without.import_kwh * sized.per_year,
            import_kwh=with_all.import_kwh * sized.per_year,
            health=health,
            replaced=replaced,
        )
        damage += _damage(sized, with_all.battery_kwh, float(aged[ENERGY])) * sized.per_year


def _end_of_life(sized: SizedSite) -> float:
    return sized.candidates.battery.end_of_life_health if sized.candidates.battery else 0.0


def _pv_health(sized: SizedSite, year: int) -> float:
    lost = sized.candidates.pv.degradation_per_year if sized.candidates.pv else 0.0
    return float((1.0 - lost) ** (year - 1))


def _damage(sized: SizedSite, energy: Array, usable_kwh: float) -> float:
    """Linear damage of the cells over the stretch [-]."""
    if sized.battery is None or sized.candidates.battery is None or usable_kwh <= 0.0:
        return 0.0
    soc = sized.battery.min_soc + sized.usable_share * energy / usable_kwh
    return xu_damage(soc, sized.year.hours, sized.candidates.battery.cell_temperature_c)
