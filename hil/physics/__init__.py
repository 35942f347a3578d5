"""What the simulated site knows and the plan does not: plain arithmetic, compiled as it is by the plant."""
