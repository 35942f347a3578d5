"""Location-based emissions of imported electricity, and how much of the site's PV stays on the site (RULES 7).

    kg = import_kwh · average factor of the region                                     (1)
    self-used PV = Σ max(pv - export, 0)·Δt:  export counts as PV first                (2)
    self-use = self-used PV / PV,   self-sufficiency = self-used PV / consumption      (3)
    consumption = import + PV - export, losses of the stores included                  (4)

Self-used PV emits nothing; exported PV gives no credit. Storage raises (1) by its losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from settlement.flows import Flows, flows_of
from settlement.money import quantity
from site_configs.carbon import GridFactor, factor_of
from site_configs.site import Site
from site_configs.tariff import local_midnight

METER_IMPORT = "meter.import_kw"


@dataclass(frozen=True)
class CarbonStatement:
    """Emissions of a period, with the factor and where it comes from."""

    site: str
    start: datetime
    end: datetime
    import_kwh: Decimal
    factor: GridFactor
    kg: Decimal


@dataclass(frozen=True)
class PvUse:
    """Where the PV energy of a period went."""

    pv_kwh: float
    self_used_kwh: float
    consumption_kwh: float

    @property
    def self_use(self) -> float | None:
        """Share of the PV energy used on the site (3); None when there was no PV energy."""
        return self.self_used_kwh / self.pv_kwh if self.pv_kwh > 0 else None

    @property
    def self_sufficiency(self) -> float | None:
        """Share of the consumption met by the site's own PV (3); None when nothing was consumed."""
        return self.self_used_kwh / self.consumption_kwh if self.consumption_kwh > 0 else None


def carbon(site: Site, flows: pd.DataFrame, period: tuple[datetime, datetime]) -> CarbonStatement:
    """Emissions of a period by (1), for flows with the column `import_kw`.

    Raises:
        ValueError: flows do not cover the period.
        InputError: no factor for the site's region.
    """
    measured = flows_of(flows, *period, ["import_kw"])
    grid = factor_of(site.carbon)
    kwh = quantity(measured.energy("import_kw"))
    return CarbonStatement(site.id, *period, kwh, grid, kwh * grid.kg_per_kwh)


def emitted_today_kg(site: Site, measured: pd.DataFrame, at: datetime, step_minutes: float) -> float:
    """Emitted from local midnight to `at` by import and fuels, as far as they are measured; for control, not for a
    statement.

    `measured` holds means of intervals of `step_minutes` by UTC start: `meter.import_kw`, and `<device>.<quantity>` of
    devices where fuel enters. What is not measured counts as nothing.
    """
    midnight = local_midnight(at.astimezone(site.zone).date(), site.zone)
    rows = measured.loc[(measured.index >= midnight) & (measured.index < at)]
    factors = {METER_IMPORT: float(factor_of(site.carbon).kg_per_kwh)}
    for device in site.devices:
        factors |= {f"{device.id}.{quantity}": kg for quantity, kg in device.emissions().items()}
    kwh = {name: float(rows[name].clip(lower=0.0).sum()) * step_minutes / 60 for name in factors if name in rows}
    return sum(factors[name] * energy for name, energy in kwh.items())


def pv_use(flows: pd.DataFrame, period: tuple[datetime, datetime]) -> PvUse:
    """Use of the PV energy of a period by (2) to (4), for flows with columns `pv_kw`, `import_kw`, `export_kw`.

    Raises:
        ValueError: flows do not cover the period.
    """
    measured: Flows = flows_of(flows, *period, ["pv_kw", "import_kw", "export_kw"])
    pv, export = measured.values["pv_kw"], measured.values["export_kw"]
    self_used = float(np.maximum(pv - export, 0.0).sum()) * measured.step_hours
    consumption = measured.energy("import_kw") + measured.energy("pv_kw") - measured.energy("export_kw")
    return PvUse(measured.energy("pv_kw"), self_used, consumption)
