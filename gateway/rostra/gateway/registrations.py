"""The bodies of writes, in Consul's spelling, and the domain values that they stand for.

https://developer.hashicorp.com/consul/api-docs/catalog#register-entity, …/agent/service#register-service, …/agent/check#register-check
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from msgspec import Meta, Struct, field

from rostra.clients.agent import LocalCheck
from rostra.config.durations import parse_duration
from rostra.gateway.answer import HttpError
from rostra.model.catalog import Check, CheckDefinition, Deregistration, HealthStatus, Node, Registration, Service, ServiceAddress, Weights
from rostra.model.rules import MAX_DURATION_S, MAX_WEIGHT, check_service_meta

SHORTEST_S: Final = 0.001
BAD_STATUS: Final = "Status for checks must 'passing', 'warning', 'critical'"
"""Consul's words, where a check comes with its service."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=0, le=2**31)]


class AddressBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """A tagged address."""

    address: str = ""
    port: Port = 0


class WeightsBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """DNS weights."""

    passing: int = 1
    warning: int = 1


class DefinitionBody(Struct, rename="pascal"):
    """How a check is run, as the catalog keeps it. Consul ignores fields that it does not know here, and so do we."""

    http: str = field(name="HTTP", default="")
    method: str = ""
    header: dict[str, list[str]] = {}
    body: str = ""
    disable_redirects: bool = False
    tls_server_name: str = field(name="TLSServerName", default="")
    tls_skip_verify: bool = field(name="TLSSkipVerify", default=False)
    tcp: str = field(name="TCP", default="")
    udp: str = field(name="UDP", default="")
    grpc: str = field(name="GRPC", default="")
    grpc_use_tls: bool = field(name="GRPCUseTLS", default=False)
    h2ping: str = field(name="H2PING", default="")
    os_service: str = field(name="OSService", default="")
    alias_node: str = ""
    alias_service: str = ""
    script_args: list[str] = []
    docker_container_id: str = field(name="DockerContainerID", default="")
    shell: str = ""
    output_max_size: Count = 0
    ttl: str | int = field(name="TTL", default="")
    interval: str | int = ""
    interval_duration: str | int = ""
    timeout: str | int = ""
    timeout_duration: str | int = ""
    deregister_critical_service_after: str | int = ""
    deregister_critical_service_after_duration: str | int = ""


class CatalogCheckBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """A check as the catalog takes it."""

    node: str = ""
    check_id: str = field(name="CheckID", default="")
    name: str = ""
    status: str = ""
    notes: str = ""
    output: str = ""
    service_id: str = field(name="ServiceID", default="")
    service_name: str = ""
    service_tags: list[str] = []
    type: str = ""
    definition: DefinitionBody = field(default_factory=DefinitionBody)
    create_index: int = 0
    modify_index: int = 0


class CatalogServiceBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """A service as the catalog takes it. The mesh's fields are taken and not used."""

    kind: str = ""
    id: str = field(name="ID", default="")
    service: str = ""
    tags: list[str] = []
    address: str = ""
    tagged_addresses: dict[str, AddressBody] = {}
    meta: dict[str, str] = {}
    port: Port = 0
    socket_path: str = ""
    weights: WeightsBody | None = None
    enable_tag_override: bool = False
    proxy: dict[str, Any] = {}
    connect: dict[str, Any] = {}
    locally_registered_as_sidecar: bool = False
    create_index: int = 0
    modify_index: int = 0


class RegisterBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """``PUT /v1/catalog/register``."""

    id: str = field(name="ID", default="")
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] = {}
    node_meta: dict[str, str] = {}
    service: CatalogServiceBody | None = None
    check: CatalogCheckBody | None = None
    checks: list[CatalogCheckBody] = []
    skip_node_update: bool = False
    token: str = ""
    create_index: int = 0
    modify_index: int = 0


class DeregisterBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """``PUT /v1/catalog/deregister``."""

    node: str = ""
    address: str = ""
    datacenter: str = ""
    service_id: str = field(name="ServiceID", default="")
    check_id: str = field(name="CheckID", default="")
    token: str = ""


class AgentCheckBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """A check that this agent is to run; ``PUT /v1/agent/check/register``, and within a service."""

    snake_case: ClassVar = True

    id: str = field(name="ID", default="")
    check_id: str = field(name="CheckID", default="")
    name: str = ""
    notes: str = ""
    service_id: str = field(name="ServiceID", default="")
    status: str = ""
    token: str = ""
    args: list[str] = []
    script_args: list[str] = []
    docker_container_id: str = field(name="DockerContainerID", default="")
    shell: str = ""
    http: str = field(name="HTTP", default="")
    method: str = ""
    header: dict[str, list[str]] = {}
    body: str = ""
    disable_redirects: bool = False
    tls_server_name: str = field(name="TLSServerName", default="")
    tls_skip_verify: bool = field(name="TLSSkipVerify", default=False)
    tcp: str = field(name="TCP", default="")
    tcp_use_tls: bool = field(name="TCPUseTLS", default=False)
    udp: str = field(name="UDP", default="")
    grpc: str = field(name="GRPC", default="")
    grpc_use_tls: bool = field(name="GRPCUseTLS", default=False)
    h2ping: str = field(name="H2PING", default="")
    h2ping_use_tls: bool = field(name="H2PingUseTLS", default=True)
    os_service: str = field(name="OSService", default="")
    alias_node: str = ""
    alias_service: str = ""
    ttl: str | int = field(name="TTL", default="")
    interval: str | int = ""
    timeout: str | int = ""
    deregister_critical_service_after: str | int = ""
    success_before_passing: Count = 0
    failures_before_critical: Count = 0
    failures_before_warning: Count = 0
    output_max_size: Count = 0


class AgentServiceBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """``PUT /v1/agent/service/register``. The mesh's fields are taken and not used."""

    snake_case: ClassVar = True

    kind: str = ""
    id: str = field(name="ID", default="")
    name: str = ""
    tags: list[str] = []
    address: str = ""
    tagged_addresses: dict[str, AddressBody] = {}
    meta: dict[str, str] = {}
    port: Port = 0
    socket_path: str = ""
    check: AgentCheckBody | None = None
    checks: list[AgentCheckBody] = []
    weights: WeightsBody | None = None
    token: str = ""
    enable_tag_override: bool = False
    proxy: dict[str, Any] | None = None
    connect: dict[str, Any] | None = None


class TtlBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """``PUT /v1/agent/check/update/ID``."""

    status: str = ""
    output: str = ""


def registration(body: RegisterBody) -> Registration:
    """What ``PUT /v1/catalog/register`` asks for. Whether it makes sense is for the catalog to say, which knows the same of every door."""
    node = Node(body.node, body.address, body.id, body.tagged_addresses, body.node_meta)
    checks = ([body.check] if body.check else []) + body.checks
    service = catalog_service(body.service) if body.service else None
    return Registration(node, body.skip_node_update, service, tuple(catalog_check(check, body.node) for check in checks))


def deregistration(body: DeregisterBody) -> Deregistration:
    """What ``PUT /v1/catalog/deregister`` asks for."""
    return Deregistration(body.node, body.service_id, body.check_id)


def catalog_service(body: CatalogServiceBody) -> Service:
    return Service(
        id=body.id or body.service,
        name=body.service,
        kind=body.kind,
        tags=tuple(body.tags),
        address=body.address,
        tagged_addresses=_addresses(body.tagged_addresses),
        meta=body.meta,
        port=body.port,
        socket_path=body.socket_path,
        weights=_weights(body.weights),
        enable_tag_override=body.enable_tag_override,
    )


def catalog_check(body: CatalogCheckBody, node: str) -> Check:
    """A check without a state is critical."""
    return Check(
        node=body.node or node,
        check_id=body.check_id or body.name,
        name=body.name,
        status=check_status(body.status) if body.status else HealthStatus.CRITICAL,
        notes=body.notes,
        output=body.output,
        service_id=body.service_id,
        type=body.type,
        definition=_catalog_definition(body.definition),
    )


def agent_service(body: AgentServiceBody) -> tuple[Service, tuple[LocalCheck, ...]]:
    """What ``PUT /v1/agent/service/register`` asks for."""
    if not body.name:
        raise HttpError(400, "Missing service name")
    check_service_meta(body.meta, "Invalid Service Meta")
    service = Service(
        id=body.id or body.name,
        name=body.name,
        kind=body.kind,
        tags=tuple(body.tags),
        address=body.address,
        tagged_addresses=_addresses(body.tagged_addresses),
        meta=body.meta,
        port=body.port,
        socket_path=body.socket_path,
        weights=_weights(body.weights),
        enable_tag_override=body.enable_tag_override,
    )
    # Clients send an empty ``Check`` where they have none; an empty one of ``Checks`` is a mistake.
    checks = ([body.check] if body.check not in (None, AgentCheckBody()) else []) + body.checks
    return service, tuple(local_check(check) for check in checks)


def local_check(body: AgentCheckBody, refusal: str = BAD_STATUS) -> LocalCheck:
    """A check for the agent to run; whether its parts go together is for the agent to say. ``refusal`` is what it is told for a status
    that is none."""
    status = _local_status(body.status, refusal) if body.status else HealthStatus.CRITICAL
    definition = CheckDefinition(
        http=body.http,
        method=body.method,
        header={name: tuple(values) for name, values in body.header.items()},
        body=body.body,
        tcp=body.tcp,
        tcp_use_tls=body.tcp_use_tls,
        udp=body.udp,
        grpc=body.grpc,
        grpc_use_tls=body.grpc_use_tls,
        h2ping=body.h2ping,
        h2ping_plaintext=bool(body.h2ping) and not body.h2ping_use_tls,
        ttl_s=_seconds(body.ttl),
        args=tuple(body.args or body.script_args),
        docker_container_id=body.docker_container_id,
        shell=body.shell,
        alias_node=body.alias_node,
        alias_service=body.alias_service,
        os_service=body.os_service,
        interval_s=_seconds(body.interval),
        timeout_s=_seconds(body.timeout),
        deregister_critical_service_after_s=_seconds(body.deregister_critical_service_after),
        tls_server_name=body.tls_server_name,
        tls_skip_verify=body.tls_skip_verify,
        success_before_passing=body.success_before_passing,
        failures_before_critical=body.failures_before_critical,
        failures_before_warning=body.failures_before_warning,
        disable_redirects=body.disable_redirects,
        output_max_size=body.output_max_size,
    )
    return LocalCheck(body.name, body.id or body.check_id, body.notes, status, definition, body.service_id)


def check_status(text: str) -> HealthStatus:
    """A state by its name; Consul's text for one that there is not."""
    try:
        return HealthStatus(text)
    except ValueError:
        raise HttpError(400, f"Invalid check status: '{text}'") from None


def _local_status(text: str, refusal: str) -> HealthStatus:
    try:
        return HealthStatus(text)
    except ValueError:
        raise HttpError(400, refusal) from None


def _catalog_definition(body: DefinitionBody) -> CheckDefinition:
    return CheckDefinition(
        http=body.http,
        method=body.method,
        header={name: tuple(values) for name, values in body.header.items()},
        body=body.body,
        tcp=body.tcp,
        udp=body.udp,
        grpc=body.grpc,
        grpc_use_tls=body.grpc_use_tls,
        h2ping=body.h2ping,
        ttl_s=_seconds(body.ttl),
        args=tuple(body.script_args),
        docker_container_id=body.docker_container_id,
        shell=body.shell,
        alias_node=body.alias_node,
        alias_service=body.alias_service,
        os_service=body.os_service,
        output_max_size=body.output_max_size,
        interval_s=_seconds(body.interval or body.interval_duration),
        timeout_s=_seconds(body.timeout or body.timeout_duration),
        deregister_critical_service_after_s=_seconds(
            body.deregister_critical_service_after or body.deregister_critical_service_after_duration
        ),
        tls_server_name=body.tls_server_name,
        tls_skip_verify=body.tls_skip_verify,
        disable_redirects=body.disable_redirects,
    )


def _addresses(bodies: dict[str, AddressBody]) -> dict[str, ServiceAddress]:
    return {tag: ServiceAddress(body.address, body.port) for tag, body in bodies.items()}


def _weights(body: WeightsBody | None) -> Weights:
    """Consul's texts. It refuses a passing weight of nothing: such an instance would never be named."""
    if body is None:
        return Weights()
    if body.passing < 1:
        raise HttpError(400, "Invalid Weights: Passing must be greater than 0")
    if body.warning < 0:
        raise HttpError(400, "Invalid Weights: Warning must be greater or equal than 0")
    if max(body.passing, body.warning) > MAX_WEIGHT:
        raise HttpError(400, "Invalid Weights: DNS Weight must be between 0 and 65535")
    return Weights(body.passing, body.warning)


def _seconds(given: str | int) -> float:
    """A duration as text, or as a number of nanoseconds; what is kept is milliseconds."""
    try:
        seconds = given / 1e9 if isinstance(given, int) else parse_duration(given) if given else 0.0
    except (ValueError, OverflowError):
        raise HttpError(400, f'Request decode failed: time: invalid duration "{given}"') from None
    if not 0 <= seconds <= MAX_DURATION_S:
        raise HttpError(400, f'Request decode failed: time: duration "{given}" is negative or longer than ten years')
    if 0 < seconds < SHORTEST_S:
        hint = ": a number counts nanoseconds" if isinstance(given, int) else ""
        raise HttpError(400, f'Request decode failed: time: duration "{given}" is shorter than a millisecond{hint}')
    return seconds
