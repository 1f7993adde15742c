"""Real processes, ports and signals on 127.0.0.0/8: rostra as its users start it, ask it and stop it."""
