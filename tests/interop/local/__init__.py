"""Checks of rostra and of a real Consul, side by side."""
