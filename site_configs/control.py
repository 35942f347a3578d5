"""How setpoints reach the site's controllers: one class of settings for each protocol, chosen by `gateway`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from optimizer.devices.base import DeviceId
from site_configs.tariff_table import STRICT

Port = Annotated[int, Field(ge=0, le=65535)]


class ChargingPlace(BaseModel):
    """One place of a charging station, as OCPP counts them."""

    model_config = STRICT
    station: Annotated[str, Field(min_length=1, max_length=48, pattern=r"^[^/?#\s]+$")]
    """Identity with which the station connects: the last part of its address."""
    evse: Annotated[int, Field(ge=1)] = 1
    """Number of the place within the station."""


class OcppControl(BaseModel):
    """Charging stations that connect to the gateway by OCPP 2.1; the gateway listens."""

    model_config = STRICT
    gateway: Literal["ocpp"] = "ocpp"
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 9000
    places: dict[DeviceId, ChargingPlace] = Field(min_length=1)
    """By charger of the site."""

    @model_validator(mode="after")
    def _every_place_once(self) -> Self:
        first: dict[tuple[str, int], str] = {}
        for charger, place in self.places.items():
            other = first.setdefault((place.station, place.evse), charger)
            if other != charger:
                raise ValueError(
                    f"{other} and {charger} are both at place {place.evse} of {place.station}: correct one of them"
                )
        return self


class ModbusControl(BaseModel):
    """A site controller on Modbus TCP."""

    model_config = STRICT
    gateway: Literal["modbus_tcp"] = "modbus_tcp"
    host: str = "127.0.0.1"
    port: Port = 502
    profile: str = "site_controller"
    """Register map: a shipped name or a YAML file."""
    chargers: OcppControl | None = None
    """Chargers that are reached by OCPP instead."""


class MqttControl(BaseModel):
    """A site controller on an MQTT broker."""

    model_config = STRICT
    gateway: Literal["mqtt"]
    host: str = "127.0.0.1"
    """Of the broker."""
    port: Port = 1883
    topic: Annotated[str, Field(min_length=1, pattern=r"^[^#+\s]+[^#+/\s]$")] = "quartet/site"
    """What all topics of the site begin with."""
    username: str | None = None
    password_variable: str | None = None
    """Environment variable that holds the password; passwords do not stand in site files."""
    tls: bool = False
    """Whether the broker is spoken to by TLS, trusted by the system's certificates."""
    chargers: OcppControl | None = None
    """Chargers that are reached by OCPP instead."""


class Iec104Control(BaseModel):
    """A controlled station by IEC 60870-5-104."""

    model_config = STRICT
    gateway: Literal["iec104"]
    host: str = "127.0.0.1"
    port: Port = 2404
    common_address: Annotated[int, Field(ge=1, le=65534)] = 1
    profile: str = "iec104_station"
    """Addresses of its objects: a shipped name or a YAML file."""
    chargers: OcppControl | None = None
    """Chargers that are reached by OCPP instead."""


def _protocol(value: Any) -> str:
    chosen = value.get("gateway", "modbus_tcp") if isinstance(value, dict) else getattr(value, "gateway", "modbus_tcp")
    return str(chosen)


AnyControl = Annotated[
    Annotated[ModbusControl, Tag("modbus_tcp")]
    | Annotated[MqttControl, Tag("mqtt")]
    | Annotated[Iec104Control, Tag("iec104")]
    | Annotated[OcppControl, Tag("ocpp")],
    Discriminator(_protocol),
]


def ocpp_of(control: AnyControl) -> OcppControl | None:
    """Settings of the charging stations, whether they are all there is or stand beside a site controller."""
    return control if isinstance(control, OcppControl) else control.chargers
