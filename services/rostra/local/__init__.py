"""This node's services and checks: kept here, pushed to the catalog (anti-entropy), as Consul's agent does for its node.

``core`` holds them and says what the catalog lacks; ``driver`` pushes it and runs the checks; ``storage`` keeps what was
registered over restarts; ``servicer`` is AgentService.
"""
