"""Register maps as data: which value stands in which Modbus register, in which type, scale and word order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from site_configs.control import ModbusControl
from site_configs.site import Site
from streams.gateways.profile_file import read_profile

Address = Annotated[int, Field(ge=0, le=0xFFFF)]
PointType = Literal["int16", "uint16", "int32", "uint32"]
WordOrder = Literal["big", "little"]
Value = float | None
"""A decoded point in its unit; None when the register says that there is none."""

_RANGE: dict[PointType, tuple[int, int]] = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
}
_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class DeviceState(IntEnum):
    """What a device of the site controller does with its setpoint."""

    IDLE = 0
    ACTIVE = 1
    EXPIRED = 2
    REJECTED = 3
    LOCAL = 4


class RejectReason(IntEnum):
    """Why the site controller refused a setpoint."""

    NONE = 0
    OLD_SEQ = 1
    EXPIRED = 2
    OUT_OF_RANGE = 3
    LOCAL = 4
    FAULT = 5


@dataclass(frozen=True)
class OutOfRange:
    """A value that its register cannot hold."""

    point: str
    value: Value
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.point}: {self.value} does not fit its register ({self.least} to {self.greatest})"


class Point(BaseModel):
    """One value in one or two registers of a block."""

    model_config = _STRICT
    offset: Address
    """Place of the first register, counted from the start of the block."""
    type: PointType
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Units per count: 0.1 means that the register counts tenths."""
    unit: str
    access: Literal["read", "write", "adjust"]
    """Whether the gateway writes the point with the setpoint, alone between two setpoints, or only reads it."""
    none: Annotated[int, Field(ge=0)] | None = None
    """Register content that means that there is no value."""

    @property
    def size(self) -> int:
        return 1 if self.type.endswith("16") else 2

    def raw(self, name: str, value: Value) -> int | OutOfRange:
        """The count that stands for `value`, rounded to the nearest; never wrapped."""
        least, greatest = _RANGE[self.type]
        if value is None and self.none is not None:
            return self.none
        count = None if value is None else _nearest(value / self.scale)
        if count is None or not least <= count <= greatest or count == self.none:
            return OutOfRange(name, value, least * self.scale, greatest * self.scale)
        return count

    def value(self, raw: int) -> Value:
        return None if raw == self.none else round(raw * self.scale, 9)


class BlockLayout(BaseModel):
    """Points that are read together; those with write access lie side by side, so that one FC 16 writes them."""

    model_config = _STRICT
    size: Annotated[int, Field(ge=1, le=125)]
    """Registers in the block: no more than one request can read."""
    points: Mapping[str, Point]

    @model_validator(mode="after")
    def _no_overlap(self) -> Self:
        taken: dict[int, str] = {}
        for name, point in self.points.items():
            for register in range(point.offset, point.offset + point.size):
                if register >= self.size:
                    raise ValueError(f"{name} ends behind the block of {self.size} registers")
                if register in taken:
                    raise ValueError(f"{name} overlaps {taken[register]} at offset {register}")
                taken[register] = name
        return self

    @model_validator(mode="after")
    def _written_side_by_side(self) -> Self:
        written = sorted((p.offset, p.size) for p in self.points.values() if p.access == "write")
        for (offset, size), (following, _) in pairwise(written):
            if offset + size != following:
                raise ValueError(f"points with write access have a gap at offset {offset + size}")
        return self

    @property
    def written(self) -> dict[str, Point]:
        """Points that the gateway writes, in the order of their registers."""
        points = sorted(self.points.items(), key=lambda item: item[1].offset)
        return {name: point for name, point in points if point.access == "write"}


class SiteBlock(BlockLayout):
    """The one block of the controller itself."""

    address: Address


class RegisterProfile(BaseModel):
    """The register map of one make of site controller."""

    model_config = _STRICT
    name: str
    unit_id: Annotated[int, Field(ge=0, le=255)] = 1
    word_order: WordOrder = "big"
    """Which half of a 32-bit value stands in the lower register: the high one (big) or the low one (little)."""
    site: SiteBlock
    first_device: Address
    """Address of the first controllable device of the site file; the others follow without gaps."""
    blocks: Mapping[str, BlockLayout]
    kinds: Mapping[str, str]
    """Layout by kind of device; kinds that are not named have no registers."""

    @model_validator(mode="after")
    def _kinds_have_blocks(self) -> Self:
        for kind, block in self.kinds.items():
            if block not in self.blocks:
                raise ValueError(f"kinds.{kind} names the block {block!r}, which is not in blocks")
        if self.site.address + self.site.size > self.first_device:
            raise ValueError("the site block reaches into the first device")
        return self


@dataclass(frozen=True)
class Registers:
    """Words for one write request."""

    address: int
    words: tuple[int, ...]


@dataclass(frozen=True)
class MappedBlock:
    """A block at its place in the register space."""

    address: int
    layout: BlockLayout
    word_order: WordOrder

    @property
    def size(self) -> int:
        return self.layout.size

    def encode(self, values: Mapping[str, Value]) -> Registers | OutOfRange:
        """One request that writes all points with write access.

        Raises:
            KeyError: `values` lacks one of them.
        """
        written = self.layout.written
        words: list[int] = []
        for name, point in written.items():
            raw = point.raw(name, values[name])
            if isinstance(raw, OutOfRange):
                return raw
            words += self._words(point, raw)
        return Registers(self.address + min(point.offset for point in written.values()), tuple(words))

    def encode_point(self, name: str, value: Value) -> Registers | OutOfRange:
        """One request that writes one point, whatever its access: for the controller's own side."""
        point = self.layout.points[name]
        raw = point.raw(name, value)
        if isinstance(raw, OutOfRange):
            return raw
        return Registers(self.address + point.offset, tuple(self._words(point, raw)))

    def decode_point(self, name: str, words: Sequence[int]) -> Value:
        """One point from its own words."""
        point = self.layout.points[name]
        return point.value(self._raw(point.model_copy(update={"offset": 0}), words))

    def decode(self, words: Sequence[int]) -> dict[str, Value]:
        """Every point of the block from its `size` words."""
        return {name: point.value(self._raw(point, words)) for name, point in self.layout.points.items()}

    def _words(self, point: Point, raw: int) -> list[int]:
        if point.size == 1:
            return [raw & 0xFFFF]
        high, low = (raw >> 16) & 0xFFFF, raw & 0xFFFF
        return [high, low] if self.word_order == "big" else [low, high]

    def _raw(self, point: Point, words: Sequence[int]) -> int:
        raw = words[point.offset]
        if point.size == 2:
            other = words[point.offset + 1]
            raw = raw << 16 | other if self.word_order == "big" else other << 16 | raw
        least, greatest = _RANGE[point.type]
        return raw if raw <= greatest else raw + 2 * least


@dataclass(frozen=True)
class RegisterMap:
    """Where everything of one site stands."""

    unit_id: int
    site: MappedBlock
    devices: Mapping[str, MappedBlock]
    """By device id, in the order of their addresses."""


class _DeviceOfKind(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...


def map_registers(profile: RegisterProfile, devices: Iterable[_DeviceOfKind]) -> RegisterMap:
    """Addresses of the devices: blocks follow one another in the order of the site file from `first_device` on."""
    address = profile.first_device
    blocks: dict[str, MappedBlock] = {}
    for device in devices:
        if device.kind in profile.kinds:
            layout = profile.blocks[profile.kinds[device.kind]]
            blocks[device.id] = MappedBlock(address, layout, profile.word_order)
            address += layout.size
    site = MappedBlock(profile.site.address, profile.site, profile.word_order)
    return RegisterMap(profile.unit_id, site, blocks)


def load_profile(name_or_path: str | Path) -> RegisterProfile:
    """The register map of a shipped name, or of a YAML file.

    Raises:
        InputError: no such profile, or every field of it that is wrong.
    """
    return read_profile(RegisterProfile, name_or_path)


def site_registers(site: Site) -> RegisterMap:
    """The register map of a site; that of the default profile where its own controller speaks something else."""
    control = site.control if isinstance(site.control, ModbusControl) else ModbusControl()
    return map_registers(load_profile(control.profile), site.devices)


def _nearest(count: float) -> int | None:
    return round(count) if abs(count) < 2**53 else None
