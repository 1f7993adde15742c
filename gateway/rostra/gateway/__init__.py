"""The HTTP gateway: Consul's HTTP API in front of rostra's services (docs/design/gateway.md).

``routes`` is the table of what is served; ``protocol`` and ``server`` are the door; ``reads`` answers from views, ``writes`` and
``agent`` pass on to the services behind. A handler is parse, call, render. ``role.GatewayRole`` puts it together.
"""
