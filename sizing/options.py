"""Changes to a site that may be bought whole: heat and cold stores, chargers, CHP, machines of any kind.

Their sizes are steps: each size on offer is an option. Options that touch the same device exclude one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Annotated

from pydantic import BaseModel, Field

from optimizer.devices import AnyDevice
from optimizer.devices.base import DeviceId, NotNegative
from optimizer.errors import InputError, Problem
from site_configs.loader import site_of
from site_configs.site import Site
from site_configs.tariff_table import STRICT

MOST_CHOICES = 16
"""More would each be laid out, foreseen and compared."""


class Option(BaseModel):
    """Something that is bought or not."""

    model_config = STRICT
    id: DeviceId
    name_zh: str = ""
    name_en: str = ""
    devices: Annotated[tuple[AnyDevice, ...], Field(min_length=1)]
    """As in a site file: one of the site's own with the same id makes way, others are added."""
    cost: NotNegative
    """Purchase [money]."""
    life_years: Annotated[int, Field(ge=1, le=40)] = 20
    """Over which the comparison spreads the purchase [a]."""
    upkeep_share: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Yearly upkeep as a share of the purchase [-]."""
    residual_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Worth at the end, as a share of the purchase [-]."""

    @property
    def touches(self) -> frozenset[str]:
        return frozenset(device.id for device in self.devices)


def choices(options: Sequence[Option]) -> list[tuple[Option, ...]]:
    """All that can be bought together, nothing first."""
    return [
        chosen
        for count in range(len(options) + 1)
        for chosen in combinations(options, count)
        if sum(len(option.touches) for option in chosen) == len(frozenset[str]().union(*(o.touches for o in chosen)))
    ]


def with_options(site: Site, chosen: Sequence[Option]) -> Site:
    """The site with what was bought."""
    new = {device.id: device for option in chosen for device in option.devices}
    kept = [new.pop(device.id, device) for device in site.devices]
    return site.model_copy(update={"devices": (*kept, *new.values())}) if chosen else site


def option_problems(options: Sequence[Option], site: Site, file: str, sized: frozenset[str]) -> Iterator[Problem]:
    """What does not fit: names that occur twice, devices that are sized by themselves, sites that would not work."""
    names = [option.id for option in options]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(file, "options", name, "occurs twice: give each option an id of its own")
    for place, option in enumerate(options):
        for name in sorted(option.touches & sized):
            yield Problem(file, f"options.{place}.devices", name, "is sized by itself: leave it out here or there")
        yield from _misfits(option, site, file, place)
    count = len(choices(options)) if len(options) <= MOST_CHOICES else 2 ** len(options)
    if count > MOST_CHOICES:
        message = f"can be chosen in {count} ways, {MOST_CHOICES} are compared at most: leave some out"
        yield Problem(file, "options", str(len(options)), message)


def _misfits(option: Option, site: Site, file: str, place: int) -> Iterator[Problem]:
    changed = with_options(site, [option]).model_dump(mode="json", by_alias=True, exclude_unset=True)
    try:
        site_of(changed, file)
    except InputError as error:
        for problem in error.problems:
            yield Problem(file, f"options.{place} ({option.id}): {problem.path}", problem.value, problem.message)
