"""What time and cycles make of the simulated batteries: capacity is lost between spans of a run."""

from __future__ import annotations

from hil import kernels
from hil.physics.ageing import xu_capacity_lost, xu_damage
from hil.plant import Plant, PlantState, Records
from optimizer.devices.battery import Battery


def aged(plant: Plant, state: PlantState, records: Records, quickened: float = 1.0) -> PlantState:
    """The state with what the batteries lost over the records of a span that ends in it (Xu et al. 2018).

    `quickened` above 1 lets time and cycles count for more, for the battery of a later year. Damages of spans add up; a cycle across
    two spans counts as halves, so spans should be days or longer.
    """
    after = state.copy()
    for battery in plant.of_type(Battery):
        slot = plant.slots[battery.id]
        cell = after.arrays.cell[slot]
        energy = records.get(f"{battery.id}.energy_kwh")
        soc = energy / (battery.capacity_kwh * cell[kernels.HEALTH])
        damage = xu_damage(soc, kernels.MINUTE_HOURS, float(cell[kernels.TEMPERATURE_C]))
        cell[kernels.DAMAGE] += quickened * damage
        cell[kernels.HEALTH] = 1.0 - xu_capacity_lost(float(cell[kernels.DAMAGE]))
    return after
