"""Catalog values to their messages and back. Every write comes by several times: a map that is empty is neither set nor read, which
would cost as much as the rest of a node. Pure; raises ``BadRequest`` naming the field where a message lacks what it must have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rostra.errors import BadRequest
from rostra.model.autopilot import AutopilotChange, AutopilotConfiguration, AutopilotServer, AutopilotState
from rostra.model.catalog import (
    NO_DEFINITION,
    Check,
    CheckDefinition,
    Command,
    CommandGroup,
    Deregistration,
    HealthStatus,
    Node,
    Registration,
    RestorePart,
    Service,
    ServiceAddress,
    ServiceInstance,
    ServiceSummary,
    Weights,
)
from rostra.model.coordinates import Coordinate
from rostra.model.topics import Entry, Topic, TopicKind
from rostra.v1 import catalog_pb2, catalog_stream_pb2, command_pb2, gossip_pb2

_STATUS_TO_PROTO = {
    HealthStatus.PASSING: catalog_pb2.HEALTH_STATUS_PASSING,
    HealthStatus.WARNING: catalog_pb2.HEALTH_STATUS_WARNING,
    HealthStatus.CRITICAL: catalog_pb2.HEALTH_STATUS_CRITICAL,
}
_STATUS_FROM_PROTO = {number: status for status, number in _STATUS_TO_PROTO.items()}


def status_to_proto(status: HealthStatus) -> catalog_pb2.HealthStatus.ValueType:
    return _STATUS_TO_PROTO[status]


def status_from_proto(number: int) -> HealthStatus:
    """Unspecified and unknown numbers are critical, as Consul takes a check that is registered without a state."""
    return _STATUS_FROM_PROTO.get(catalog_pb2.HealthStatus.ValueType(number), HealthStatus.CRITICAL)


def node_to_proto(node: Node) -> catalog_pb2.Node:
    return catalog_pb2.Node(
        id=node.id,
        name=node.name,
        address=node.address,
        tagged_addresses=node.tagged_addresses or None,
        meta=node.meta or None,
        create_index=node.create_index,
        modify_index=node.modify_index,
    )


def node_from_proto(message: catalog_pb2.Node) -> Node:
    return Node(
        name=message.name,
        address=message.address,
        id=message.id,
        tagged_addresses=dict(addresses) if (addresses := message.tagged_addresses) else {},
        meta=dict(meta) if (meta := message.meta) else {},
        create_index=message.create_index,
        modify_index=message.modify_index,
    )


def service_to_proto(service: Service) -> catalog_pb2.Service:
    return catalog_pb2.Service(
        id=service.id,
        name=service.name,
        kind=service.kind,
        tags=service.tags,
        address=service.address,
        tagged_addresses={
            tag: catalog_pb2.ServiceAddress(address=place.address, port=place.port) for tag, place in service.tagged_addresses.items()
        }
        or None,
        meta=service.meta or None,
        port=service.port,
        socket_path=service.socket_path,
        weights=catalog_pb2.Weights(passing=service.weights.passing, warning=service.weights.warning),
        enable_tag_override=service.enable_tag_override,
        create_index=service.create_index,
        modify_index=service.modify_index,
    )


def service_from_proto(message: catalog_pb2.Service) -> Service:
    """A message without weights has the default ones; an empty ID is the name."""
    weights = Weights(message.weights.passing, message.weights.warning) if message.HasField("weights") else Weights()
    return Service(
        id=message.id or message.name,
        name=message.name,
        kind=message.kind,
        tags=tuple(message.tags),
        address=message.address,
        tagged_addresses={tag: ServiceAddress(place.address, place.port) for tag, place in addresses.items()}
        if (addresses := message.tagged_addresses)
        else {},
        meta=dict(meta) if (meta := message.meta) else {},
        port=message.port,
        socket_path=message.socket_path,
        weights=weights,
        enable_tag_override=message.enable_tag_override,
        create_index=message.create_index,
        modify_index=message.modify_index,
    )


_DEFINITION_TEXTS = (
    "http",
    "method",
    "body",
    "tcp",
    "tcp_use_tls",
    "udp",
    "grpc",
    "grpc_use_tls",
    "h2ping",
    "h2ping_plaintext",
    "docker_container_id",
    "shell",
    "alias_node",
    "alias_service",
    "os_service",
    "tls_server_name",
    "tls_skip_verify",
    "success_before_passing",
    "failures_before_critical",
    "failures_before_warning",
    "disable_redirects",
    "output_max_size",
)
_DEFINITION_DURATIONS = ("ttl", "interval", "timeout", "deregister_critical_service_after")


def definition_to_proto(definition: CheckDefinition) -> catalog_pb2.CheckDefinition:
    """Durations go in whole milliseconds."""
    message = catalog_pb2.CheckDefinition(args=definition.args)
    for name in _DEFINITION_TEXTS:
        setattr(message, name, getattr(definition, name))
    for name in _DEFINITION_DURATIONS:
        setattr(message, f"{name}_ms", round(getattr(definition, f"{name}_s") * 1000))
    for header, values in definition.header.items():
        message.header[header].values.extend(values)
    return message


def definition_from_proto(message: catalog_pb2.CheckDefinition) -> CheckDefinition:
    fields = {name: getattr(message, name) for name in _DEFINITION_TEXTS}
    fields |= {f"{name}_s": getattr(message, f"{name}_ms") / 1000 for name in _DEFINITION_DURATIONS}
    header = {name: tuple(values.values) for name, values in message.header.items()}
    return CheckDefinition(args=tuple(message.args), header=header, **fields)


def check_to_proto(check: Check) -> catalog_pb2.Check:
    return catalog_pb2.Check(
        node=check.node,
        check_id=check.check_id,
        name=check.name,
        status=status_to_proto(check.status),
        notes=check.notes,
        output=check.output,
        service_id=check.service_id,
        service_name=check.service_name,
        service_tags=check.service_tags,
        type=check.type,
        definition=definition_to_proto(check.definition) if check.definition != NO_DEFINITION else None,
        create_index=check.create_index,
        modify_index=check.modify_index,
    )


def check_from_proto(message: catalog_pb2.Check) -> Check:
    return Check(
        node=message.node,
        check_id=message.check_id or message.name,
        name=message.name,
        status=status_from_proto(message.status),
        notes=message.notes,
        output=message.output,
        service_id=message.service_id,
        service_name=message.service_name,
        service_tags=tuple(message.service_tags),
        type=message.type,
        definition=definition_from_proto(message.definition) if message.HasField("definition") else NO_DEFINITION,
        create_index=message.create_index,
        modify_index=message.modify_index,
    )


def instance_to_proto(instance: ServiceInstance) -> catalog_pb2.ServiceInstance:
    return catalog_pb2.ServiceInstance(
        node=node_to_proto(instance.node),
        service=service_to_proto(instance.service),
        checks=[check_to_proto(check) for check in instance.checks],
    )


def instance_from_proto(message: catalog_pb2.ServiceInstance) -> ServiceInstance:
    return ServiceInstance(
        node_from_proto(message.node), service_from_proto(message.service), tuple(check_from_proto(check) for check in message.checks)
    )


def summary_to_proto(summary: ServiceSummary) -> catalog_pb2.ServiceSummary:
    return catalog_pb2.ServiceSummary(name=summary.name, tags=summary.tags, instances=summary.instances)


def summary_from_proto(message: catalog_pb2.ServiceSummary) -> ServiceSummary:
    return ServiceSummary(message.name, tuple(message.tags), message.instances)


def registration_to_proto(registration: Registration) -> catalog_pb2.Registration:
    return catalog_pb2.Registration(
        node=node_to_proto(registration.node),
        skip_node_update=registration.skip_node_update,
        service=service_to_proto(registration.service) if registration.service else None,
        checks=[check_to_proto(check) for check in registration.checks],
    )


def registration_from_proto(message: catalog_pb2.Registration) -> Registration:
    if not message.HasField("node"):
        raise BadRequest("registration.node is required", field="registration.node")
    return Registration(
        node=node_from_proto(message.node),
        skip_node_update=message.skip_node_update,
        service=service_from_proto(message.service) if message.HasField("service") else None,
        checks=tuple(check_from_proto(check) for check in message.checks),
    )


def deregistration_to_proto(removal: Deregistration) -> catalog_pb2.Deregistration:
    return catalog_pb2.Deregistration(node=removal.node, service_id=removal.service_id, check_id=removal.check_id)


def deregistration_from_proto(message: catalog_pb2.Deregistration) -> Deregistration:
    return Deregistration(message.node, message.service_id, message.check_id)


def command_to_proto(command: Command, request_id: bytes = b"") -> command_pb2.Command:
    match command:
        case Registration():
            return command_pb2.Command(request_id=request_id, register=registration_to_proto(command))
        case Deregistration():
            return command_pb2.Command(request_id=request_id, deregister=deregistration_to_proto(command))
        case CommandGroup():
            group = command_pb2.CommandGroup(commands=[command_to_proto(part) for part in command.commands])
            return command_pb2.Command(request_id=request_id, group=group)
        case AutopilotChange():
            return command_pb2.Command(request_id=request_id, autopilot=autopilot_change_to_proto(command))
        case RestorePart():
            part = command_pb2.RestorePart(restore_id=command.restore_id, number=command.number, frames=command.frames, last=command.last)
            return command_pb2.Command(request_id=request_id, restore=part)


def command_from_proto(message: command_pb2.Command) -> Command:
    """Raises ``BadRequest`` for a kind that this version does not know, or a group of anything but single writes."""
    match message.WhichOneof("kind"):
        case "register":
            return registration_from_proto(message.register)
        case "deregister":
            return deregistration_from_proto(message.deregister)
        case "group":
            parts = tuple(command_from_proto(part) for part in message.group.commands)
            return CommandGroup(tuple(_of_a_group(part) for part in parts))
        case "autopilot":
            return autopilot_change_from_proto(message.autopilot)
        case "restore":
            part = message.restore
            return RestorePart(part.restore_id, part.number, part.frames, part.last)
        case _:
            raise BadRequest("command.kind is not one that this version knows", field="command.kind")


def survives_the_wire(command: Command) -> bool:
    """Whether a command that was read from a message comes out the same when it is read from its own message. Not always so: durations
    go in whole milliseconds, and very long ones lose some."""
    match command:
        case Registration():
            return all(check.definition == NO_DEFINITION for check in command.checks)
        case Deregistration():
            return True
        case _:
            return False


def _of_a_group(command: Command) -> Registration | Deregistration:
    if isinstance(command, Registration | Deregistration):
        return command
    raise BadRequest("command.group holds what is neither a registration nor a deregistration", field="command.group")


def autopilot_to_proto(settings: AutopilotConfiguration) -> catalog_pb2.AutopilotConfiguration:
    """Durations go in whole milliseconds."""
    return catalog_pb2.AutopilotConfiguration(
        cleanup_dead_servers=settings.cleanup_dead_servers,
        last_contact_threshold_ms=round(settings.last_contact_threshold_s * 1000),
        max_trailing_logs=settings.max_trailing_logs,
        min_quorum=settings.min_quorum,
        server_stabilization_time_ms=round(settings.server_stabilization_time_s * 1000),
        create_index=settings.create_index,
        modify_index=settings.modify_index,
    )


def autopilot_from_proto(message: catalog_pb2.AutopilotConfiguration) -> AutopilotConfiguration:
    return AutopilotConfiguration(
        cleanup_dead_servers=message.cleanup_dead_servers,
        last_contact_threshold_s=message.last_contact_threshold_ms / 1000,
        max_trailing_logs=message.max_trailing_logs,
        min_quorum=message.min_quorum,
        server_stabilization_time_s=message.server_stabilization_time_ms / 1000,
        create_index=message.create_index,
        modify_index=message.modify_index,
    )


def autopilot_change_to_proto(change: AutopilotChange) -> catalog_pb2.AutopilotChange:
    return catalog_pb2.AutopilotChange(configuration=autopilot_to_proto(change.configuration), only_at_index=change.only_at_index)


def autopilot_change_from_proto(message: catalog_pb2.AutopilotChange) -> AutopilotChange:
    if not message.HasField("configuration"):
        raise BadRequest("change.configuration is required", field="change.configuration")
    only_at_index = message.only_at_index if message.HasField("only_at_index") else None
    return AutopilotChange(autopilot_from_proto(message.configuration), only_at_index)


_SERVER_FIELDS = (
    "id", "name", "address", "serf_status", "version", "leader", "voter", "last_term", "last_index", "healthy", "stable_since_ns",
)  # fmt: skip


def autopilot_state_to_proto(state: AutopilotState) -> catalog_pb2.GetAutopilotResponse:
    servers = [
        catalog_pb2.AutopilotServer(**{name: getattr(server, name) for name in _SERVER_FIELDS}, last_contact_ms=server.last_contact_ms)
        for server in state.servers
    ]
    return catalog_pb2.GetAutopilotResponse(
        configuration=autopilot_to_proto(state.configuration), servers=servers, failure_tolerance=state.failure_tolerance
    )


def autopilot_state_from_proto(message: catalog_pb2.GetAutopilotResponse) -> AutopilotState:
    servers = [
        AutopilotServer(
            **{name: getattr(server, name) for name in _SERVER_FIELDS},
            last_contact_ms=server.last_contact_ms if server.HasField("last_contact_ms") else None,
        )
        for server in message.servers
    ]
    return AutopilotState(autopilot_from_proto(message.configuration), servers, message.failure_tolerance)


def coordinates_to_proto(coordinates: Mapping[str, Coordinate]) -> list[gossip_pb2.MemberCoordinate]:
    """In order of name."""
    return [
        gossip_pb2.MemberCoordinate(
            name=name,
            coordinate=gossip_pb2.Coordinate(vec=each.vector, error=each.error, adjustment=each.adjustment, height=each.height),
        )
        for name, each in sorted(coordinates.items())
    ]


def coordinates_from_proto(messages: Iterable[gossip_pb2.MemberCoordinate]) -> dict[str, Coordinate]:
    found = ((message.name, message.coordinate) for message in messages)
    return {name: Coordinate(tuple(each.vec), each.error, each.adjustment, each.height) for name, each in found}


def topic_to_proto(topic: Topic) -> catalog_stream_pb2.Topic:
    return catalog_stream_pb2.Topic(kind=catalog_stream_pb2.TopicKind.ValueType(topic.kind.value), name=topic.name)


def topic_from_proto(message: catalog_stream_pb2.Topic) -> Topic:
    try:
        return Topic(TopicKind(message.kind), message.name)
    except ValueError:
        raise BadRequest(f"topic.kind {message.kind} is not one that this version knows", field="topic.kind") from None


def entry_to_proto(entry: Entry) -> catalog_stream_pb2.TopicEntry:
    message = catalog_stream_pb2.TopicEntry(key=entry.key, index=entry.index)
    match entry.value:
        case None:
            pass
        case Node():
            message.node.CopyFrom(node_to_proto(entry.value))
        case ServiceSummary():
            message.summary.CopyFrom(summary_to_proto(entry.value))
        case ServiceInstance():
            message.instance.CopyFrom(instance_to_proto(entry.value))
        case Service():
            message.service.CopyFrom(service_to_proto(entry.value))
        case Check():
            message.check.CopyFrom(check_to_proto(entry.value))
    return message


def entry_from_proto(message: catalog_stream_pb2.TopicEntry) -> Entry:
    match message.WhichOneof("value"):
        case "node":
            return Entry(message.key, message.index, node_from_proto(message.node))
        case "summary":
            return Entry(message.key, message.index, summary_from_proto(message.summary))
        case "instance":
            return Entry(message.key, message.index, instance_from_proto(message.instance))
        case "service":
            return Entry(message.key, message.index, service_from_proto(message.service))
        case "check":
            return Entry(message.key, message.index, check_from_proto(message.check))
        case _:
            return Entry(message.key, message.index, None)
