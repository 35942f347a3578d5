"""A replay gives the same again, wherever its parts are run and however often it was stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from hil.closed_loop import baseline
from hil.replay.case import Case, Foresight, Terms, case_of
from hil.replay.farm import Part, ThisProcess, farm
from hil.replay.foresight import foreseen
from hil.replay.replay import Replayed, ReplayResult, replay
from optimizer.errors import InputError
from streams.site_state import SiteState


def _same(one: ReplayResult, other: ReplayResult) -> None:
    pd.testing.assert_frame_equal(one.account.meters, other.account.meters, check_exact=True)
    assert one.account.cost == other.account.cost
    assert one.account.cars == other.account.cars
    assert [replace(cycle, took_ms=0.0) for cycle in one.cycles] == [
        replace(cycle, took_ms=0.0) for cycle in other.cycles
    ]


def test_the_same_replay_again_is_the_same(park: ModuleType, engine: ReplayResult) -> None:
    _same(replay(park.PARK, park.history(), park.START, park.END), engine)


def test_workers_change_nothing(park: ModuleType, engine: ReplayResult) -> None:
    with farm(2) as two:
        _same(replay(park.PARK, park.history(), park.START, park.END, farm=two), engine)


BROKEN_BY_AN_HOUR = {"min_soc"}
"""An hour at full power ends where the battery's true efficiencies and capacity let it end."""


class Stopping(ThisProcess):
    """Ends after some parts, as a user does."""

    def __init__(self, after: int) -> None:
        self._after = after
        self.made = 0

    def finished(self, parts, wanted):  # type: ignore[no-untyped-def]
        for found in super().finished(parts, wanted):
            self.made += 1
            yield found
            if self.made == self._after:
                raise KeyboardInterrupt


def test_a_replay_that_was_stopped_goes_on(park: ModuleType, engine: ReplayResult, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        replay(park.PARK, park.history(), park.START, park.END, farm=Stopping(1), folder=tmp_path)
    (case,) = tmp_path.iterdir()
    assert len(list(case.iterdir())) == 1
    rest = Stopping(0)
    _same(replay(park.PARK, park.history(), park.START, park.END, farm=rest, folder=tmp_path), engine)
    assert rest.made == len([block for blocks in engine.case.blocks for block in blocks]) - 1
    again = Stopping(0)
    _same(replay(park.PARK, park.history(), park.START, park.END, farm=again, folder=tmp_path), engine)
    assert again.made == 0


def test_a_file_that_was_cut_off_is_made_again(park: ModuleType, tmp_path: Path) -> None:
    first = replay(park.PARK, park.history(), park.START, park.END, "none", folder=tmp_path)
    (case,) = tmp_path.iterdir()
    for kept in case.iterdir():
        kept.write_bytes(kept.read_bytes()[:100])
    _same(replay(park.PARK, park.history(), park.START, park.END, "none", folder=tmp_path), first)


def test_what_happens_later_changes_no_decision(park: ModuleType, engine: ReplayResult) -> None:
    until = park.START + timedelta(hours=30)
    other = replay(park.PARK, park.poisoned(until), park.START, park.END)
    before = engine.account.meters.index < until
    pd.testing.assert_frame_equal(other.account.meters[before], engine.account.meters[before], check_exact=True)
    assert not other.account.meters[~before].equals(engine.account.meters[~before])


def test_hourly_records_are_not_known_before_their_hour_is_over(park: ModuleType) -> None:
    quarters = park.PARK.model_copy(update={"step_minutes": 15})
    case = case_of(quarters, park.history(60), park.START, park.END, "engine")
    at = park.START + timedelta(minutes=45)
    assert case.measured_before(at).index[-1] == park.START - timedelta(minutes=15)
    assert case.measured_before(at + timedelta(minutes=15)).index[-1] == park.START + timedelta(minutes=45)


def test_a_bridged_gap_is_a_gap_to_forecasts(park: ModuleType) -> None:
    clean = park.history()
    gap = pd.DatetimeIndex([park.START])
    bridged = replace(clean, interpolated={"load.demand_kw": gap})
    case = case_of(park.PARK.model_copy(update={"step_minutes": 15}), bridged, park.START, park.END, "engine")
    assert case.measured.loc[gap, "load.demand_kw"].isna().all()
    assert case.history.frame.loc[gap, "load.demand_kw"].notna().all()


def test_windows_begin_at_billing_months_with_a_day_before_them(park: ModuleType) -> None:
    case = case_of(park.PARK, park.history(), park.START, park.END, "engine")
    first, second = case.windows
    assert (first.begin, first.start, first.end) == (park.START, park.START, park.MONTH_END)
    assert (second.begin, second.start, second.end) == (
        park.MONTH_END - timedelta(days=1), park.MONTH_END, park.END,
    )  # fmt: skip


@pytest.mark.parametrize("foresight", ["issued", "known"])
def test_the_last_bill_closes_with_the_replay(park: ModuleType, foresight: Foresight) -> None:
    case = case_of(park.PARK, park.history(), park.START, park.END, "engine", Terms(foresight=foresight))
    outlooks = foreseen(case, case.stretches[0]).outlooks
    before, after = outlooks[0], outlooks[-1]
    assert before.grid.end == park.MONTH_END
    assert after.grid.times[0] == park.END - case.step
    assert after.prices.billing_period[: after.grid.near] == (0,) + (1,) * (after.grid.near - 1)


def test_blocks_are_cut_at_the_fits_which_are_made_at_local_midnights(park: ModuleType) -> None:
    start = park.START + timedelta(hours=5)
    case = case_of(park.PARK, park.history(), start, park.END + timedelta(days=1), "engine", Terms(refit_days=2))
    second_fit = park.START + timedelta(days=2)
    assert [stretch.start for stretch in case.stretches] == [start, second_fit]
    first, second = case.blocks
    assert [(block.start, block.end) for block in first] == [(start, park.MONTH_END)]
    lead_in = max(start, park.MONTH_END - timedelta(days=1))
    assert [block.start for block in second] == [lead_in, second_fit]
    assert second[0].fit == first[0].fit


def test_other_inputs_have_another_key(park: ModuleType) -> None:
    def key(case: Case) -> str:
        return replace(case).key

    case = case_of(park.PARK, park.history(), park.START, park.END, "engine")
    others = [
        replace(case, controller="none"),
        replace(case, end=park.MONTH_END),
        replace(case, terms=Terms(seed=2)),
        replace(case, history=park.poisoned(park.START)),
        replace(case, site=park.PARK.model_copy(update={"horizon_hours": 10})),
    ]
    assert key(replace(case, history=park.history())) == case.key
    assert len({case.key, *map(key, others)}) == 1 + len(others)


def test_an_impossible_stretch_is_refused_with_all_its_problems(park: ModuleType) -> None:
    early = park.BEGIN - timedelta(minutes=30)
    with pytest.raises(InputError) as refused:
        replay(park.PARK, park.history(), early, park.END + timedelta(days=9), terms=Terms(refit_days=8))
    assert [problem.path for problem in refused.value.problems] == ["--from, --to", "--from", "--refit"]


def test_parts_are_let_go_when_nobody_needs_them() -> None:
    first = Part(lambda: 1, (), "first")
    second = Part(lambda one: one + 1, (first,), "second")
    third = Part(lambda two, one: two + one, (second, first), "third")
    assert list(ThisProcess().finished([first, second, third], [third])) == [(third, 3)]


@pytest.mark.parametrize("controller", ["none", "rules", "engine", "perfect"])
def test_every_controller_serves_the_load_within_the_limits(
    park: ModuleType, engine: ReplayResult, controller: Replayed
) -> None:
    found = engine if controller == "engine" else replay(park.PARK, park.history(), park.START, park.END, controller)
    served = found.account.energy_kwh["load.served"]
    demand = park.history().window(park.START, park.END)["load.demand_kw"].sum() / 4
    assert served == pytest.approx(demand, rel=1e-6)
    assert {violation.limit for violation in found.account.violations} <= BROKEN_BY_AN_HOUR
    assert found.account.cars.missed_kwh < 1.0


@pytest.mark.parametrize(("site_minutes", "recorded_minutes"), [(60, 15), (60, 60), (15, 60)])
def test_local_control_decides_up_to_the_end_of_the_record(
    park: ModuleType, site_minutes: int, recorded_minutes: int
) -> None:
    site, history = park.PARK.model_copy(update={"step_minutes": site_minutes}), park.history(recorded_minutes)
    last = history.end.to_pydatetime() - timedelta(minutes=site_minutes)
    decision = baseline(site, history, "rules")(SiteState(site.id, last, {}, {}))
    assert {"pv1", "battery1"} <= set(decision.targets)
