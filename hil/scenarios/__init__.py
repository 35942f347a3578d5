"""Scenarios of the bench: what happens to a site, and what must be true on the plant's records afterwards."""
