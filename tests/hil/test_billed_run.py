"""A run in closed loop, written as a history folder, is billed as its own flows are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from hil.closed_loop import run_closed_loop
from hil.measured import flows, meters
from settlement.balance import balance_columns, balance_residual
from settlement.day_cost import day_cost
from settlement.metered_month import metered_month
from settlement.utility_bill import billing_columns, billing_flows, utility_bill
from site_configs.history import read_history, sample_folder, write_history
from site_configs.loader import load_site
from site_configs.tariff import load_tariff


def test_the_meters_of_a_run_give_the_runs_own_cost(tmp_path: Path) -> None:
    site = load_site("jiashan_park")
    tariff = load_tariff(site)
    start = datetime(2026, 7, 14, 16, tzinfo=UTC)
    period = (start, start + timedelta(hours=3))
    history = read_history(sample_folder(site.id), zone=site.timezone)
    run = run_closed_loop(site, history, start, 12, "rules", seed=7)
    write_history(tmp_path, meters(run.plant, run.records))
    month = metered_month(read_history(tmp_path), site, period, *_columns(site, tariff))
    ours = utility_bill(site, billing_flows(site, month), period)
    theirs = day_cost(site, tariff, flows(run.plant, run.records), period, 0.0)
    lines = {line.name: line.cost for line in theirs.lines}
    energy = sum((fee for name, fee in lines.items() if name.startswith("energy_")), Decimal(0))
    components = ours.of("purchase", "line_loss", "transmission_distribution", "system_operation", "funds")
    assert abs(components - energy) <= Decimal("0.005") * len(ours.lines)
    assert abs(ours.of("actual_demand") - lines["demand"]) <= Decimal("0.01")
    assert ours.export_total == -lines["export"]
    residual = balance_residual(site, month.frame)
    assert residual is not None
    assert residual < 0.01


def _columns(site, tariff):
    needed, optional = billing_columns(site, tariff)
    return needed, (*optional, *balance_columns(site))
