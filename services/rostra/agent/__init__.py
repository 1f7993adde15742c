"""The process: which roles run in it, how they find each other, how it starts, stops and leaves.

``main`` reads the configuration and returns the exit code; ``composition`` builds the roles, ``wiring`` decides who reaches whom by
which channel, ``doors`` what is shown where; ``process`` runs them; ``control`` is what the outside may ask of the process.
"""
