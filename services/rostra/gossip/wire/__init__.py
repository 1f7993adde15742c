"""Codec of the gossip wire format (memberlist and Serf): pure functions from bytes to values and back.

Bytes from the network are hostile until decoded. Every function here answers bad input with ``WireError`` and nothing else,
in memory bounded by the limits named in ``limits``.
"""
