"""What every door refuses, in Consul's words where Consul refuses it too."""

from __future__ import annotations

from typing import Any

import pytest

from rostra.errors import BadRequest
from rostra.model.autopilot import AutopilotChange, AutopilotConfiguration
from rostra.model.catalog import Check, CheckDefinition, CommandGroup, Deregistration, Node, Registration, ServiceAddress
from rostra.model.rules import MAX_NAME_LENGTH, check_command

from .helpers import ID_1, check, registration, service

LONG = "x" * (MAX_NAME_LENGTH + 1)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (registration("", ""), "Must provide node"),
        (registration("a", ""), "Must provide address if SkipNodeUpdate is not set"),
        (registration("a", node_id="zz"), "Bad node ID: uuid string is wrong length"),
        (registration("a", node_id="1" * 36), "Bad node ID: uuid is improperly formatted"),
        (registration("a", node_id="é1111111-1111-1111-1111-11111111111"), "Bad node ID: uuid is improperly formatted"),
        (registration("a", node_id=ID_1[:-1] + "g"), "Bad node ID: encoding/hex: invalid byte: U+0067 'g'"),
        (
            registration("a", checks=(check("up", definition=CheckDefinition(interval_s=2.0**64)),)),
            "Check.Interval is negative or longer than ten years",
        ),
        (
            registration("a", checks=(check("up", definition=CheckDefinition(timeout_s=-1.0)),)),
            "Check.Timeout is negative or longer than ten years",
        ),
        (
            AutopilotChange(AutopilotConfiguration(last_contact_threshold_s=2.0**64)),
            "LastContactThreshold is negative or longer than ten years",
        ),
        (registration("a", service=service("", "x")), "Must provide service name with ID"),
        (registration("a", service=service(address="0.0.0.0")), "Invalid service address"),
        (registration("a", service=service(address="[::]")), "Invalid service address"),
        (
            registration("a", service=service(meta={"": "x"})),
            "failed inserting service: Invalid Service Meta for node a and serviceID web: "
            "Couldn't load metadata pair ('', 'x'): Key cannot be blank",
        ),
        (
            registration("a", service=service(meta={"k y": "x"})),
            "failed inserting service: Invalid Service Meta for node a and serviceID web: "
            "Couldn't load metadata pair ('k y', 'x'): Key contains invalid characters",
        ),
        (
            registration("a", service=service(meta={"consul-x": "x"})),
            "failed inserting service: Invalid Service Meta for node a and serviceID web: Couldn't load metadata pair ('consul-x', 'x'): "
            "Key prefix 'consul-' is reserved for internal use",
        ),
        (
            registration("a", service=service(meta={str(number): "x" for number in range(65)})),
            "failed inserting service: Invalid Service Meta for node a and serviceID web: "
            "Node metadata cannot contain more than 64 key/value pairs",
        ),
        (Registration(Node("a", "x"), checks=(Check("other", "c", "c"),)), 'check node "other" does not match node "a"'),
        (Deregistration(""), "Must provide node"),
        (CommandGroup((registration("a"), Deregistration(""))), "Must provide node"),
        (registration("a", service=service(port=65536)), "Service.Port 65536 is not a port (0 to 65535)"),
        (
            registration("a", service=service(tagged_addresses={"lan": ServiceAddress("x", -1)})),
            "Service.TaggedAddresses[lan].Port -1 is not a port (0 to 65535)",
        ),
        (registration(LONG), "Node is too long (limit: 1024 characters)"),
        (registration("a\0b"), "Node contains a NUL character"),
        (registration("a", checks=(check(""),)), 'Must provide a check ID or a name for each check on node "a"'),
    ],
)
def test_a_bad_command_is_refused_with_one_line(command: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_command(command)
    assert str(caught.value) == message
    assert caught.value.field


@pytest.mark.parametrize(
    "meta", [{"k" * 129: "x"}, {"k": "x" * 513}, {str(number): "x" for number in range(65)}], ids=["key", "value", "pairs"]
)
def test_the_limits_of_node_meta_hold_at_their_edge(meta: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        check_command(registration("a", meta=meta))
    trimmed = {key[:128]: value[:512] for key, value in list(meta.items())[:64]}
    check_command(registration("a", meta=trimmed))


@pytest.mark.parametrize(
    "command",
    [
        registration("a b", "host.name", node_id=ID_1.upper()),
        registration("ü", service=service("my.dotted_svc")),
        registration("a", meta={"consul-network-segment": ""}),
        registration("a", "", skip=True),
        registration("x" * MAX_NAME_LENGTH, service=service(port=65535)),
    ],
)
def test_what_consul_takes_is_taken(command: Any) -> None:
    check_command(command)
