"""The process: which roles run in it, how they find each other, how it starts, stops and leaves.

``main`` reads the configuration and returns the exit code; ``composition`` builds the roles and is the one place that decides who
reaches whom by which channel; ``process`` runs them; ``control`` is what the outside may ask of the process.
"""
