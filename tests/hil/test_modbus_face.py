"""The site controller on Modbus TCP, spoken to by a real client."""

from datetime import timedelta

import pytest
from pymodbus.client import ModbusTcpClient

from hil.modbus_face import ModbusFace
from hil.site_controller import SiteController
from optimizer.errors import MissingPartError
from streams.gateways.registers import DeviceState, RejectReason, site_registers


@pytest.fixture
def controller(park):
    plant = park.exact_plant(8)
    return SiteController(plant, plant.start())


@pytest.fixture
def served(controller):
    with ModbusFace(controller) as face:
        client = ModbusTcpClient("127.0.0.1", port=face.port)
        assert client.connect()
        yield Registers(client, controller.plant.truth.site)
        client.close()


class Registers:
    """Speaks to the controller by the profile's names."""

    def __init__(self, client, site):
        self.client = client
        self.map = site_registers(site)

    def read(self, block):
        answer = self.client.read_holding_registers(block.address, count=block.size, device_id=self.map.unit_id)
        assert not answer.isError()
        return block.decode(answer.registers)

    def site(self):
        return self.read(self.map.site)

    def device(self, name):
        return self.read(self.map.devices[name])

    def write(self, address, words):
        return self.client.write_registers(address, list(words), device_id=self.map.unit_id)

    def adjust(self, name, power_kw):
        registers = self.map.devices[name].encode_point("adjusted", power_kw)
        assert not self.write(registers.address, registers.words).isError()

    def tell(self, name, setpoint):
        values = {
            "seq": setpoint.seq,
            "target": setpoint.target_kw,
            "safe_value": setpoint.safe_value_kw,
            "grid_limit": setpoint.grid_limit_kw,
            "valid_from": setpoint.valid_from.timestamp(),
            "valid_until": setpoint.valid_until.timestamp(),
        }
        registers = self.map.devices[name].encode(values)
        assert not self.write(registers.address, registers.words).isError()


def test_setpoint_goes_in_acts_and_is_read_back(served, controller, park):
    assert served.device("battery1")["state"] == DeviceState.IDLE
    served.tell("battery1", park.setpoint(3, -120.5))
    assert controller.told_from(park.START) == 1
    assert controller.run(5).get("battery1.charge_kw")[-1] == pytest.approx(120.5)
    seen = served.device("battery1")
    assert (seen["state"], seen["applied_seq"], seen["applied_target"]) == (DeviceState.ACTIVE, 3, -120.5)
    assert seen["measured_kw"] == -120.5
    assert (seen["seq"], seen["grid_limit"]) == (3, None)


def test_site_clock_is_the_plants_time(served, controller, park):
    before = served.site()
    controller.run(30)
    after = served.site()
    assert after["site_clock"] == (park.START + timedelta(minutes=30)).timestamp()
    assert after["device_heartbeat"] == before["device_heartbeat"] + 1
    assert after["remote"] == 1
    assert not served.write(served.map.site.address, [7]).isError()


def test_old_sequence_and_value_out_of_range_are_refused_with_the_reason(served, controller, park):
    served.tell("ev1", park.setpoint(5, -10.0))
    served.tell("ev1", park.setpoint(4, -20.0))
    seen = served.device("ev1")
    assert (seen["state"], seen["reject_reason"]) == (DeviceState.REJECTED, RejectReason.OLD_SEQ)
    assert (seen["applied_seq"], seen["applied_target"]) == (5, -10.0)
    served.tell("ev1", park.setpoint(6, 500.0))
    assert served.device("ev1")["reject_reason"] == RejectReason.OUT_OF_RANGE
    served.tell("ev1", park.setpoint(7, 5.0))
    assert served.device("ev1")["reject_reason"] == RejectReason.NONE


def test_expired_setpoint_shows_the_safe_value(served, controller, park):
    served.tell("battery1", park.setpoint(1, 200.0, safe=10.0))
    controller.run(20)
    seen = served.device("battery1")
    assert (seen["state"], seen["applied_target"]) == (DeviceState.EXPIRED, 10.0)


def test_half_a_setpoint_and_unknown_registers_are_refused(served, controller):
    block = served.map.devices["battery1"]
    assert served.write(block.address, [0, 1]).isError()
    assert served.write(block.address + 12, [0, 9]).isError()
    assert served.client.read_holding_registers(5000, count=2, device_id=1).isError()
    assert controller.state.arrays.held[:, :, 0].max() == -1


def test_controller_tells_when_all_setpoints_of_an_interval_are_there_and_read(served, controller, park):
    assert not controller.wait_for_setpoints(park.START, 0.0)
    for name in controller.plant.slots:
        served.tell(name, park.setpoint(1, 0.0))
    assert controller.wait_for_setpoints(park.START, 0.0)
    assert not controller.wait_for_setpoints(park.START + timedelta(minutes=15), 0.0)
    assert not controller.wait_for_read_back(0.0)
    for name in controller.plant.slots:
        served.device(name)
    assert controller.wait_for_read_back(0.0)


def test_a_power_in_place_of_the_target_acts_within_the_minute_until_it_is_taken_back(served, controller, park):
    served.tell("battery1", park.setpoint(1, -120.5))
    served.adjust("battery1", -40.0)
    assert controller.run(1).get("battery1.charge_kw")[-1] == pytest.approx(40.0)
    seen = served.device("battery1")
    assert (seen["applied_target"], seen["adjusted"]) == (-120.5, -40.0)
    served.adjust("battery1", None)
    assert controller.run(1).get("battery1.charge_kw")[-1] == pytest.approx(120.5)
    served.adjust("battery1", 900.0)
    assert served.device("battery1")["adjusted"] == 250.0  # held to the device's own range
    served.tell("battery1", park.setpoint(2, 10.0))
    assert served.device("battery1")["adjusted"] is None


def test_an_adjustment_does_not_outlive_the_setpoint(served, controller, park):
    served.tell("battery1", park.setpoint(1, -120.5))
    served.adjust("battery1", -40.0)
    controller.run(20)
    assert controller.run(1).get("battery1.charge_kw")[-1] == 0.0


def test_a_cabinet_without_a_loop_of_its_own_shows_its_meter_and_what_devices_can_do(park):
    plant = park.exact_plant(8, guards=False)
    controller = SiteController(plant, plant.start({"battery1": {"energy_kwh": 1.0}}))
    minute = controller.run(1)
    with ModbusFace(controller) as face:
        client = ModbusTcpClient("127.0.0.1", port=face.port)
        assert client.connect()
        served = Registers(client, plant.truth.site)
        assert served.site()["net_import"] == pytest.approx(minute.get("meter.import_kw")[-1], abs=0.05)
        battery, car = served.device("battery1"), served.device("ev1")
        client.close()
    least, greatest = battery["least_now"], battery["greatest_now"]
    assert (least, greatest) == (-250.0, pytest.approx(57.0, abs=0.2))  # a kilowatt hour less losses, in a minute
    assert (car["least_now"], car["greatest_now"]) == (0.0, 0.0)


def test_a_cabinet_that_keeps_the_limits_leaves_the_gateway_nothing_to_do(served, controller):
    controller.run(1)
    assert served.site()["net_import"] is None


def test_taken_port_is_named(controller):
    with (
        ModbusFace(controller) as face,
        pytest.raises(MissingPartError, match=f"127.0.0.1:{face.port}"),
        ModbusFace(controller, face.port),
    ):
        pass
