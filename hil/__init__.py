"""What the site would do: the simulated plant, its Modbus face, and the closed loop around the real engine."""
