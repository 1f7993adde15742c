"""The local role as a process: real agents, and servers of the tests' own for them to check."""
