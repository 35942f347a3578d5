"""Replay: a controller in closed loop with the plant over recorded history, fast enough for months."""
