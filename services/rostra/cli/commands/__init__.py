"""One module a command. Each offers ``run(arguments) -> int``: parse the flags, ask the agent, print, return the exit code.

What goes wrong is raised as a ``RostraError``, which ``rostra.cli.main`` prints as one line.
"""
