"""The HTTP gateway: Consul's HTTP API in front of rostra's services (docs/design/gateway.md).

``routes`` is the table of what is served; ``door`` holds the sockets, ``protocol`` is one connection, ``cycles`` and ``handling`` one
request of it, and ``app`` answers what neither takes. ``reads`` answers from views, with ``lookups`` and ``records``; ``writes``, ``agent``
and ``local`` pass on to the services behind. A handler is parse, call, render. ``role.GatewayRole`` puts it together.
"""
