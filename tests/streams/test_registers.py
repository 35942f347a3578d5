"""Register maps: codec, places of the devices, and a shipped profile that holds together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.errors import InputError
from streams.gateways.registers import (
    BlockLayout,
    MappedBlock,
    OutOfRange,
    Point,
    Registers,
    load_profile,
    map_registers,
)

SETPOINT = {
    "seq": 70000.0,
    "target": -200.1,
    "safe_value": 0.0,
    "grid_limit": None,
    "valid_from": 1787704200.0,
    "valid_until": 1787705400.0,
}


@dataclass(frozen=True)
class Listed:
    id: str
    kind: str


def block_of(word_order: str = "big") -> MappedBlock:
    layout = load_profile("site_controller").blocks["setpoint"]
    return MappedBlock(100, layout, word_order)  # type: ignore[arg-type]


def test_a_setpoint_is_one_write_of_the_words_in_the_table() -> None:
    assert block_of().encode(SETPOINT) == Registers(
        100, (1, 4464, 0xFFFF, 0xF82F, 0, 0, 0xFFFF, 0xFFFF, 0x6A8E, 0x3388, 0x6A8E, 0x3838)
    )


@pytest.mark.parametrize("word_order", ["big", "little"])
def test_what_is_written_is_read_again(word_order: str) -> None:
    block = block_of(word_order)
    written = block.encode(SETPOINT)
    assert isinstance(written, Registers)
    read = block.decode([*written.words, *[0] * (block.size - len(written.words))])
    assert {name: read[name] for name in SETPOINT} == SETPOINT


def test_word_order_swaps_the_halves() -> None:
    assert block_of("big").encode_point("seq", 70000) == Registers(100, (1, 4464))
    assert block_of("little").encode_point("seq", 70000) == Registers(100, (4464, 1))


@pytest.mark.parametrize(
    ("kind", "scale", "value"),
    [
        ("int16", 0.1, 3276.8),
        ("int16", 1.0, -32769),
        ("uint16", 1.0, -1),
        ("uint16", 1.0, 65536),
        ("int32", 0.1, 214748364.8),
        ("uint32", 1.0, -0.6),
        ("uint32", 1.0, float("inf")),
        ("uint32", 1.0, float("nan")),
        ("uint32", 1.0, None),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_and_never_wrapped(kind: str, scale: float, value: float | None) -> None:
    point = Point(offset=0, type=kind, scale=scale, unit="kW", access="write")  # type: ignore[arg-type]
    assert isinstance(point.raw("target", value), OutOfRange)


def test_the_mark_for_no_value_is_not_a_value() -> None:
    point = load_profile("site_controller").blocks["setpoint"].points["grid_limit"]
    assert point.raw("grid_limit", None) == 0xFFFFFFFF
    assert isinstance(point.raw("grid_limit", 429496729.5), OutOfRange)
    assert "does not fit its register" in str(point.raw("grid_limit", -1.0))


@given(
    kind=st.sampled_from(["int16", "uint16", "int32", "uint32"]),
    scale=st.sampled_from([1.0, 0.1, 0.01]),
    value=st.floats(allow_nan=True, allow_infinity=True),
)
def test_a_value_comes_back_within_half_a_step_or_not_at_all(kind: str, scale: float, value: float) -> None:
    point = Point(offset=0, type=kind, scale=scale, unit="kW", access="write")  # type: ignore[arg-type]
    raw = point.raw("target", value)
    if not isinstance(raw, OutOfRange):
        assert abs((point.value(raw) or 0.0) - value) <= scale / 2 * (1 + 1e-9)


def test_devices_follow_one_another_in_the_order_of_the_site_file() -> None:
    devices = [Listed("load", "load"), Listed("pv1", "pv"), Listed("grid", "grid_connection"), Listed("b1", "battery")]
    places = map_registers(load_profile("site_controller"), devices)
    assert {device: block.address for device, block in places.devices.items()} == {"pv1": 100, "b1": 128}


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"a": (0, "uint32", "read"), "b": (1, "uint16", "read")}, "b overlaps a at offset 1"),
        ({"a": (3, "uint32", "read")}, "ends behind the block of 4"),
        ({"a": (0, "uint16", "write"), "b": (2, "uint16", "write")}, "gap at offset 1"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(points: dict[str, tuple[int, str, str]], message: str) -> None:
    described = {
        name: {"offset": offset, "type": kind, "access": access, "unit": "kW"}
        for name, (offset, kind, access) in points.items()
    }
    with pytest.raises(ValueError, match=message):
        BlockLayout.model_validate({"size": 4, "points": described})


def test_a_profile_with_faults_names_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "vendor.yaml"
    file.write_text(
        "name: vendor\nword_order: middle\nfirst_device: -1\nkinds: {}\nblocks: {}\n"
        "site: {address: 0, size: 2, points: {}}\n"
    )
    with pytest.raises(InputError) as caught:
        load_profile(file)
    assert [problem.path for problem in caught.value.problems] == ["word_order", "first_device"]


def test_an_unknown_profile_says_which_there_are() -> None:
    with pytest.raises(InputError, match="shipped: iec104_station, site_controller"):
        load_profile("nobody")
