"""The command line: Consul's verbs over Consul's public HTTP API, and the way into the agent and its roles.

``main`` holds the table of commands and dispatches; each command is a module of ``commands``, imported only when it is asked for.
A client command needs the standard library alone, so that it starts fast: no gRPC, no server, no msgspec.
"""
