"""Three servers and clients, as agents and with a process for each role: what a user sees of them."""
