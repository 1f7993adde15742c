"""The domain's values, shared by every role: frozen, free of protobuf, JSON and I/O.

``catalog`` has nodes, services and checks and the commands that change them; ``topics`` what can be watched of them;
``members`` what gossip knows; ``proto`` turns each into its message and back.
"""
