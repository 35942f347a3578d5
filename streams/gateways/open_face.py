"""The face that a site file asks for."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from optimizer.errors import InputError, MissingPartError, Problem
from site_configs.control import Iec104Control, ModbusControl, MqttControl, OcppControl, ocpp_of
from site_configs.site import Site
from streams.gateways.face import Face
from streams.gateways.joint import JointFace
from streams.gateways.modbus import ModbusFace
from streams.gateways.registers import site_registers


def open_face(site: Site, host: str | None = None, port: int | None = None) -> tuple[Face, tuple[str, ...]]:
    """The face of a site, with the devices that it reaches; `host` and `port` in place of the site file's.

    Raises:
        InputError: a profile cannot be read, or the password's variable is not set.
        MissingPartError: a protocol's library is not installed, or a port to listen on is taken.
    """
    control = site.control
    where = host or control.host, control.port if port is None else port
    if isinstance(control, OcppControl):
        return _stations(control, *where), tuple(control.places)
    face, devices = _controller(site, control, *where)
    stations = ocpp_of(control)
    if stations is None:
        return face, devices
    beside = _stations(stations, stations.host, stations.port)
    return JointFace(face, dict.fromkeys(stations.places, beside)), tuple(dict.fromkeys((*devices, *stations.places)))


def _controller(
    site: Site, control: ModbusControl | MqttControl | Iec104Control, host: str, port: int
) -> tuple[Face, tuple[str, ...]]:
    if isinstance(control, MqttControl):
        return _mqtt(site, control, host, port)
    if isinstance(control, Iec104Control):
        return _iec104(site, control, host, port)
    registers = site_registers(site)
    return ModbusFace(host, port, registers), tuple(registers.devices)


def _mqtt(site: Site, control: MqttControl, host: str, port: int) -> tuple[Face, tuple[str, ...]]:
    from streams.gateways.mqtt import MqttFace

    devices = tuple(device.id for device in site.devices if device.main_quantity is not None)
    face = MqttFace(
        host,
        port,
        control.topic,
        devices,
        username=control.username,
        password=_password(site.id, control.password_variable),
        tls=control.tls,
    )
    return face, devices


def _iec104(site: Site, control: Iec104Control, host: str, port: int) -> tuple[Face, tuple[str, ...]]:
    try:
        from streams.gateways.iec104 import Iec104Face, load_iec104_profile
    except ImportError as error:
        message = "IEC 60870-5-104 needs the package c104: pip install 'quartet-ems[iec104]'"
        raise MissingPartError(message) from error
    profile = load_iec104_profile(control.profile)
    places = profile.places(site.devices)
    return Iec104Face(host, port, control.common_address, profile, places, _now), tuple(places)


def _stations(control: OcppControl, host: str, port: int) -> Face:
    from streams.gateways.ocpp_stations import OcppFace

    return OcppFace(host, port, control.places, _now)


def _password(site: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    if variable not in os.environ:
        message = "this environment variable is not set: set it to the broker's password"
        raise InputError([Problem(site, "control.password_variable", variable, message)])
    return os.environ[variable]


def _now() -> datetime:
    return datetime.now(UTC)
