"""Candidates files: what is read, and what is refused all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.errors import InputError
from site_configs.loader import load_site
from sizing.candidates import read_candidates, usual_candidates


def test_a_file_is_read_with_the_usual_costs(tmp_path: Path) -> None:
    file = tmp_path / "candidates.yaml"
    file.write_text(
        "battery: {device: battery1, capacity_kwh: [0, 4000], power_kw: [0, 2000]}\neconomics: {horizon_years: 10}\n"
    )
    found = read_candidates(file, load_site("jiashan_park"))
    assert found.battery is not None
    assert found.battery.capacity_kwh == (0.0, 4000.0)
    assert found.economics.horizon_years == 10
    assert found.pv is None


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "candidates.yaml"
    file.write_text(
        "battery: {device: battery9, capacity_kwh: [4000, 0], power_kw: [0, 2000]}\n"
        "pv: {device: pv1, capacity_kw: [0, 10], price: 3}\ncontract_demand: true\n"
    )
    with pytest.raises(InputError) as refused:
        read_candidates(file, load_site("jiashan_park"))
    said = "\n".join(map(str, refused.value.problems))
    for part in ("battery.device", "battery1, battery2", "from small to large", "pv.price", "demand_mode: contract"):
        assert part in said


@pytest.mark.parametrize("text", ["[]", "economics: {horizon_years: 10}"])
def test_a_file_that_offers_nothing_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "candidates.yaml"
    file.write_text(text)
    with pytest.raises(InputError):
        read_candidates(file, load_site("jiashan_park"))


def test_usual_candidates_are_wide_ranges_for_what_is_there() -> None:
    found = usual_candidates(load_site("jiashan_park"), 500.0, 1200.0)
    assert found.battery is not None
    assert found.pv is not None
    assert found.battery.capacity_kwh == (0.0, 12_000.0)
    assert found.battery.power_kw == (0.0, 1200.0)
    assert found.pv.capacity_kw == (0.0, 2000.0)
    assert not found.contract_demand


def test_a_site_without_battery_and_pv_has_nothing_to_size() -> None:
    site = load_site("jiashan_park")
    bare = site.model_copy(update={"devices": tuple(d for d in site.devices if d.kind not in ("battery", "pv"))})
    with pytest.raises(InputError, match="neither battery nor PV"):
        usual_candidates(bare, 500.0, 1200.0)
