"""The gateway as a process, asked by programs that are not ours."""
