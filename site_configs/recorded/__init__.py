"""How a history folder is read: columns and units, cells and times, repairs, sessions, weather forecasts."""
