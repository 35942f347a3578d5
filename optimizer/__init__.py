"""What to do: devices, tariffs, balances, planner, verifier and rules.

The bottom room of the house: it knows neither Kafka nor YAML files nor the clock. Everything it needs about one moment
is a `Situation`; everything it answers is a `Plan`.
"""
