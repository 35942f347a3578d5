"""The IEC 104 face with the library's own server. Callbacks keep their types: the library reads the annotations."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import c104

from optimizer.devices.v2g_charger import V2gCharger
from streams.gateways.face import Face
from streams.gateways.iec104 import Iec104Face, load_iec104_profile
from tests.streams.gateways.device_model import DEVICES, ControllerModel

CHARGERS = tuple(V2gCharger(id=name, charge_limit_kw=500, discharge_limit_kw=500) for name in DEVICES)


class Iec104Rig:
    """Against the library's own server."""

    beats_are_seen = True
    refusal = "refused: object 100 was confirmed negatively"

    def __init__(self, port: int) -> None:
        self.model = ControllerModel()
        self._profile = load_iec104_profile("iec104_station")
        self._places = self._profile.places(CHARGERS)
        self._follows = dict.fromkeys(DEVICES, 0.0)
        self._server = c104.Server(ip="127.0.0.1", port=port, tick_rate_ms=50)
        station = self._server.add_station(common_address=1)
        site, device = self._profile.site, self._profile.device
        self._point(station, site.remote, c104.Type.M_SP_NA_1, lambda: self.model.remote)
        self._point(station, site.net_import, c104.Type.M_ME_NC_1, lambda: self.model.net_import_kw or 0.0)
        beat = station.add_point(io_address=site.heartbeat, type=c104.Type.C_SE_NB_1)
        beat.on_receive(callable=self._on_beat)
        self._names = {}
        for name, first in self._places.items():
            command = station.add_point(io_address=first + device.setpoint, type=c104.Type.C_SE_NC_1)
            command.command_mode = c104.CommandMode.SELECT_AND_EXECUTE
            command.on_receive(callable=self._on_setpoint)
            self._names[first + device.setpoint] = name
            for offset in (device.in_force, device.measured):
                self._point(station, first + offset, c104.Type.M_ME_NC_1, self._followed(name))
            self._point(station, first + device.local, c104.Type.M_SP_NA_1, lambda: False)
            for offset, kw in ((device.least_now, -500.0), (device.greatest_now, 500.0)):
                self._point(station, first + offset, c104.Type.M_ME_NC_1, lambda kw=kw: kw)
        self._server.start()
        self.face: Face = Iec104Face(
            "127.0.0.1", port, 1, self._profile, self._places, lambda: self.model.clock, timeout_s=0.2
        )

    def close(self) -> None:
        self.face.close()
        self._server.stop()

    @contextmanager
    def gone(self) -> Iterator[None]:
        self._server.stop()
        yield
        self._server.start()

    def _followed(self, name: str) -> Callable[[], float]:
        return lambda: 1.0 if self.model.lies else self._follows[name]

    def _point(self, station: Any, address: int, kind: Any, value: Callable[[], Any]) -> None:
        point = station.add_point(io_address=address, type=kind)

        def before_read(point: c104.Point) -> None:
            point.value = value()

        point.on_before_read(callable=before_read)

    def _on_beat(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        self.model.beats.append(int(point.value))
        return c104.ResponseState.SUCCESS

    def _on_setpoint(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        if self.model.refuses:
            return c104.ResponseState.FAILURE
        self.model.taken += 1
        self._follows[self._names[point.io_address]] = float(point.value)
        return c104.ResponseState.SUCCESS

    def followed_kw(self, device: str) -> float:
        return self._follows[device]
