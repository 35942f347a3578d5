"""How data moves: messages, topics, site state, the control cycle, the broker wiring, gateways and the ledger."""
