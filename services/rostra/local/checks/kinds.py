"""Which kind a check is of, and what runs it."""

from __future__ import annotations

from rostra.local.checks.dialing import Dialer
from rostra.local.checks.docker import DockerCheck
from rostra.local.checks.h2ping import H2PingCheck
from rostra.local.checks.http import HttpCheck
from rostra.local.checks.os_service import OsServiceCheck
from rostra.local.checks.outcome import Runner
from rostra.local.checks.script import ScriptCheck
from rostra.local.checks.tcp import TcpCheck
from rostra.local.checks.udp import UdpCheck
from rostra.model.catalog import CheckDefinition


def runner_for(definition: CheckDefinition, dialer: Dialer, output_max_size: int) -> Runner | None:
    """None for what is not run but told (ttl) or followed (alias)."""
    if definition.docker_container_id:
        return DockerCheck(definition, output_max_size)
    if definition.args:
        return ScriptCheck(definition, output_max_size)
    if definition.http:
        return HttpCheck(definition, dialer, output_max_size)
    if definition.tcp:
        return TcpCheck(definition, dialer)
    if definition.udp:
        return UdpCheck(definition, dialer)
    if definition.grpc:
        from rostra.local.checks.grpc_health import GrpcCheck  # cryptography is heavy, and most agents have no such check

        return GrpcCheck(definition, dialer)
    if definition.h2ping:
        return H2PingCheck(definition, dialer)
    if definition.os_service:
        return OsServiceCheck(definition)
    return None
