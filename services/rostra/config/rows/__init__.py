"""The rows of the table of settings, one module a group."""
