"""What may be built at a site and on which terms: the candidates file. Its fields are documented here alone.

Costs without another source are turnkey prices in China in 2024 and 2025 (RULES 5: 0.8 to 1.1 per Wh for batteries).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from optimizer.devices.base import DeviceId, NotNegative, Positive
from optimizer.devices.battery import Battery
from optimizer.devices.pv import Pv
from optimizer.errors import InputError, Problem
from site_configs.problems import problems_of, shown
from site_configs.site import Site, TariffChoice
from site_configs.tariff_table import STRICT
from site_configs.yaml_text import parse_yaml
from sizing.options import Option, option_problems

Rate = Annotated[float, Field(ge=0, lt=1)]
Change = Annotated[float, Field(gt=-0.5, lt=0.5)]
Years = Annotated[int, Field(ge=1, le=40)]
Range = tuple[NotNegative, NotNegative]
AUTO_HOURS, AUTO_RATE = 24.0, 1.0
"""Without a candidates file: a battery of up to so many hours of the mean load, of up to its highest load in power."""
AUTO_SUN = 4.0
"""Without a candidates file: up to so many times the PV that is there."""


def _rising(name: str, given: Range) -> None:
    if given[0] > given[1]:
        raise ValueError(f"{name} must be a range from small to large, e.g. [0, 2000]")


class BatteryCandidate(BaseModel):
    """A battery of the site whose size is sought; the rest of it stands in the site file."""

    model_config = STRICT
    device: DeviceId
    """Its id in the site file."""
    capacity_kwh: Range
    """Smallest and largest capacity [kWh]."""
    power_kw: Range
    """Smallest and largest power, both ways [kW]."""
    greatest_rate_per_hour: Positive = 0.5
    """Largest ratio of power to capacity [1/h]."""
    cost_per_kwh: NotNegative = 800.0
    """Purchase by capacity [money/kWh]."""
    cost_per_kw: NotNegative = 200.0
    """Purchase by power [money/kW]."""
    life_years: Years = 15
    """Over which the year model spreads the purchase [a]; wear by cycles is priced by the device's own wear cost."""
    upkeep_share: Rate = 0.01
    """Yearly upkeep, insurance and rent as a share of the purchase [-]."""
    end_of_life_health: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """Share of the first capacity at which the cells are replaced [-]."""
    replacement_cost_per_kwh: NotNegative = 500.0
    """New cells [money/kWh]."""
    cell_temperature_c: float = 25.0
    """Mean temperature of the cells, for their ageing [°C]."""
    residual_share: Rate = 0.05
    """Worth at the end, as a share of the purchase [-]."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        _rising("capacity_kwh", self.capacity_kwh)
        _rising("power_kw", self.power_kw)
        return self


class PvCandidate(BaseModel):
    """A PV plant of the site whose size is sought; its recorded output is scaled with it."""

    model_config = STRICT
    device: DeviceId
    capacity_kw: Range
    """Smallest and largest power of the inverters [kW]."""
    cost_per_kw: NotNegative = 3000.0
    """Purchase [money/kW]."""
    life_years: Years = 25
    upkeep_share: Rate = 0.01
    degradation_per_year: Rate = 0.005
    """Output lost each year [1/a]."""
    residual_share: Rate = 0.05

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        _rising("capacity_kw", self.capacity_kw)
        return self


class Economics(BaseModel):
    """Terms of the money."""

    model_config = STRICT
    horizon_years: Years = 15
    """Years that are looked at [a]."""
    discount_rate: Rate = 0.08
    """What money could earn elsewhere [1/a]."""
    tariff_change_per_year: Change = 0.0
    """Change of all prices of the tariff from year to year [1/a]."""
    tariff_factors: tuple[NotNegative, ...] = ()
    """The same as factors on the first year's savings by year, the last one kept; in the place of the change."""
    upkeep_change_per_year: Change = 0.02
    """Change of upkeep and of replacements from year to year [1/a]."""
    income_tax_rate: Rate = 0.25
    """On what is earned above upkeep, depreciation and interest [-] (企业所得税法, article 4)."""
    depreciation_years: Years = 10
    """Straight line, to nothing [a] (企业所得税法实施条例, article 60: at least 10 for machines)."""
    subsidy_once: NotNegative = 0.0
    """Paid when it is built [money]."""
    subsidy_per_kwh: NotNegative = 0.0
    """Paid by energy discharged [money/kWh]."""
    subsidy_years: Annotated[int, Field(ge=0, le=40)] = 0
    """Years in which it is paid [a]."""
    loan_share: Rate = 0.0
    """Share of the purchase that is borrowed [-]."""
    loan_rate: Rate = 0.045
    loan_years: Years = 8
    """Paid back in equal yearly amounts [a]."""
    sources: dict[str, str] = {}
    """Where a figure comes from, by the name of its field; listed with the result."""

    def tariff_factor(self, year: int) -> float:
        """Savings of a year over those of the first; `year` counts from 1."""
        if self.tariff_factors:
            return self.tariff_factors[min(year, len(self.tariff_factors)) - 1]
        return float((1.0 + self.tariff_change_per_year) ** (year - 1))


class Candidates(BaseModel):
    """A candidates file."""

    model_config = STRICT
    battery: BatteryCandidate | None = None
    pv: PvCandidate | None = None
    contract_demand: bool = False
    """Whether the contract demand is sought, too; for sites billed by contract."""
    options: tuple[Option, ...] = ()
    """What is bought whole or not at all: stores, chargers, CHP; sizes of one thing are options of their own."""
    economics: Economics = Economics()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.battery is None and self.pv is None and not self.options:
            raise ValueError("offers nothing: give battery, pv, or options")
        return self

    def bought(self, ids: Collection[str]) -> tuple[Option, ...]:
        """The options of these ids."""
        return tuple(option for option in self.options if option.id in ids)


def read_candidates(file: Path, site: Site) -> Candidates:
    """The candidates in a YAML file.

    Raises:
        InputError: it cannot be read or does not fit the site; everything that is wrong at once.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(str(file), "file", str(error), "cannot be read: give a candidates file")]) from error
    data = parse_yaml(text, str(file))
    if not isinstance(data, dict):
        raise InputError([Problem(str(file), "whole file", shown(data), "must be a mapping such as battery, pv")])
    problems, found = [], None
    try:
        found = Candidates.model_validate(data)
    except ValidationError as error:
        problems += problems_of(error, data, str(file))
    problems += _misfits(data, str(file), site)
    if found is not None:
        sized = frozenset(part.device for part in (found.battery, found.pv) if part is not None)
        problems += option_problems(found.options, site, str(file), sized)
    if problems or found is None:
        raise InputError(problems)
    return found


def _misfits(data: dict[str, Any], file: str, site: Site) -> list[Problem]:
    """Names of devices that the site has not got, and a contract demand that it does not pay by."""
    problems = []
    for part, kind in (("battery", Battery), ("pv", Pv)):
        given = data.get(part)
        name = given.get("device") if isinstance(given, dict) else None
        known = [device.id for device in site.devices if isinstance(device, kind)]
        if isinstance(name, str) and name not in known:
            has = ", ".join(known) or "none: add one to the site file"
            problems.append(Problem(file, f"{part}.device", name, f"is no {part} of {site.id}, which has {has}"))
    if data.get("contract_demand") is True and not billed_by_contract(site):
        message = "needs a site whose tariff has demand_mode: contract"
        problems.append(Problem(file, "contract_demand", "true", message))
    return problems


def billed_by_contract(site: Site) -> bool:
    return isinstance(site.tariff, TariffChoice) and site.tariff.demand_mode == "contract"


def usual_candidates(site: Site, mean_kw: float, highest_kw: float) -> Candidates:
    """Wide ranges for the site's first battery and first PV plant, at the usual costs.

    Raises:
        InputError: it has neither.
    """
    battery = next((device for device in site.devices if isinstance(device, Battery)), None)
    pv = next((device for device in site.devices if isinstance(device, Pv)), None)
    if battery is None and pv is None:
        message = "has neither battery nor PV to be sized: add one, of any size, to the site file"
        raise InputError([Problem(site.id, "devices", "none", message)])
    most_kwh, most_kw = round(AUTO_HOURS * mean_kw), round(AUTO_RATE * highest_kw)
    return Candidates(
        battery=battery and BatteryCandidate(device=battery.id, capacity_kwh=(0, most_kwh), power_kw=(0, most_kw)),
        pv=pv and PvCandidate(device=pv.id, capacity_kw=(0, AUTO_SUN * pv.capacity_kw)),
        contract_demand=billed_by_contract(site),
    )
