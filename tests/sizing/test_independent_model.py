"""The year model against an independent one: the same park in oemof.solph, built and solved by nothing of ours."""

from __future__ import annotations

import warnings

import pandas as pd
import pyomo.environ as pyo
import pytest

from sizing.park_year import Offers, ParkYear
from sizing.value_function import best_by_value_functions
from tests.sizing.years import small_offers, small_year


def oemof_optimum(year: ParkYear, offers: Offers) -> float:
    """Least cost of the year with the sizes free; a month's peak is an investment that is of use in the month alone."""
    from oemof import solph

    index = pd.date_range("2026-01-01", periods=year.steps + 1, freq="h")
    system = solph.EnergySystem(timeindex=index, infer_last_interval=False)
    bus = solph.Bus(label="power")
    system.add(bus)
    flow, invest = solph.flows.Flow, solph.Investment
    load = flow(nominal_capacity=1.0, fix=year.load_kw)
    system.add(solph.components.Sink(label="load", inputs={bus: load}))
    fed = flow(variable_costs=-year.export_price)
    system.add(solph.components.Sink(label="export", inputs={bus: fed}))
    for month, price in enumerate(year.peaks.price_per_kw):
        peak = flow(
            nominal_capacity=invest(ep_costs=price),
            maximum=(year.month == month).astype(float),
            variable_costs=year.import_price,
        )
        system.add(solph.components.Source(label=f"import {month}", outputs={bus: peak}))
    sun = flow(
        nominal_capacity=invest(ep_costs=offers.pv_kw.cost_per_unit_year, maximum=offers.pv_kw.greatest),
        maximum=year.sun,
    )
    system.add(solph.components.Source(label="sun", outputs={bus: sun}))
    power = invest(ep_costs=offers.battery_kw.cost_per_unit_year, maximum=offers.battery_kw.greatest)
    system.add(
        solph.components.GenericStorage(
            label="battery",
            inputs={bus: flow(nominal_capacity=invest(ep_costs=0.0))},
            outputs={bus: flow(nominal_capacity=power, variable_costs=year.battery.wear_per_kwh)},
            nominal_capacity=invest(
                ep_costs=offers.battery_kwh.cost_per_unit_year, maximum=offers.battery_kwh.greatest
            ),
            invest_relation_input_output=1.0,
            inflow_conversion_factor=year.battery.charge_efficiency,
            outflow_conversion_factor=year.battery.discharge_efficiency,
            balanced=True,
        )
    )
    model = solph.Model(system)
    model.receive_duals()
    pyo.SolverFactory("appsi_highs").solve(model)
    return float(pyo.value(model.objective))


@pytest.mark.parametrize("seed", [3, 5])
def test_the_optimum_is_that_of_an_independent_model(seed: int) -> None:
    year, offers = small_year(seed), small_offers()
    answer = best_by_value_functions(year, offers, 1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oemof.solph's own
        optimum = oemof_optimum(year, offers)
    assert answer.gap <= 2e-7
    assert answer.cost == pytest.approx(optimum, rel=1e-6)
