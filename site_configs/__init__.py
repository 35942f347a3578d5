"""What a park is: its schema, loading, tariff tables, calendars, recorded history, and the shipped parks as YAML."""
