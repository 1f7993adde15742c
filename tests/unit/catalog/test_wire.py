"""A catalog that applies its own write from memory comes to the same as the others, which read it from the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rostra.model.proto import command_from_proto, command_to_proto, survives_the_wire
from rostra.v1 import catalog_pb2, command_pb2

from .conftest import World
from .helpers import registration

TEXTS = st.sampled_from(["", "a", "B", "ü"])
WHOLES = st.sampled_from([0, 1, 65535, 2**31 - 1])
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=2)
LONG = st.integers(0, 2**63 - 1)

NODES = st.builds(
    catalog_pb2.Node, id=TEXTS, name=TEXTS, address=TEXTS, tagged_addresses=MAPS, meta=MAPS, create_index=LONG, modify_index=LONG
)
WEIGHTS = st.none() | st.builds(catalog_pb2.Weights, passing=WHOLES, warning=WHOLES)
PLACES = st.dictionaries(TEXTS, st.builds(catalog_pb2.ServiceAddress, address=TEXTS, port=WHOLES), max_size=2)
SERVICES = st.builds(
    catalog_pb2.Service,
    id=TEXTS,
    name=TEXTS,
    kind=TEXTS,
    tags=st.lists(TEXTS, max_size=2),
    address=TEXTS,
    tagged_addresses=PLACES,
    meta=MAPS,
    port=WHOLES,
    socket_path=TEXTS,
    weights=WEIGHTS,
    enable_tag_override=st.booleans(),
    modify_index=LONG,
)
DEFINITIONS = st.builds(catalog_pb2.CheckDefinition, http=TEXTS, interval_ms=LONG, ttl_ms=LONG, args=st.lists(TEXTS, max_size=1))
CHECKS = st.builds(
    catalog_pb2.Check,
    node=TEXTS,
    check_id=TEXTS,
    name=TEXTS,
    status=st.sampled_from([0, 1, 2, 3, 99]),
    output=TEXTS,
    service_id=TEXTS,
    service_name=TEXTS,
    service_tags=st.lists(TEXTS, max_size=1),
    definition=st.none() | DEFINITIONS,
)
REGISTRATIONS = st.builds(
    catalog_pb2.Registration,
    node=NODES,
    skip_node_update=st.booleans(),
    service=st.none() | SERVICES,
    checks=st.lists(CHECKS, max_size=2),
)
DEREGISTRATIONS = st.builds(catalog_pb2.Deregistration, node=TEXTS, service_id=TEXTS, check_id=TEXTS)
COMMANDS = st.builds(command_pb2.Command, register=REGISTRATIONS) | st.builds(command_pb2.Command, deregister=DEREGISTRATIONS)


@given(COMMANDS)
def test_a_command_from_memory_is_the_one_that_others_read(message: command_pb2.Command) -> None:
    command = command_from_proto(message)
    data = command_to_proto(command, b"r").SerializeToString()
    read = command_from_proto(command_pb2.Command.FromString(data))
    assert read == command or not survives_the_wire(command)
    assert survives_the_wire(command) or any(check.HasField("definition") for check in message.register.checks)


async def test_only_what_came_out_of_a_message_is_applied_from_memory(near: World) -> None:
    """A value made here may be spelled otherwise than what others read: a list for a tuple, an ID left out."""
    writes, commands = near.role.writes, [registration("a"), registration("b")]
    told: list[int] = []
    for command, was_read in zip(commands, (True, False), strict=True):
        request_id = command.node.name.encode()
        waiter = writes.start(command, lambda index, error: told.append(index), request_id=request_id, was_read=was_read)
        data = command_to_proto(command, request_id).SerializeToString()
        assert writes.command_of(data) == ((request_id, command) if was_read else None)
        assert waiter is not None
        writes.leave(waiter)
        assert writes.command_of(data) is None
    assert told == []
