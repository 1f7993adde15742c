"""Definitions of configuration files become services and checks."""

from __future__ import annotations

from typing import Any

import pytest

from rostra.errors import BadRequest
from rostra.local.definitions import check_from_definition, definitions_from, service_from_definition
from rostra.model.catalog import CheckDefinition, HealthStatus, ServiceAddress, Weights


def test_a_service_has_what_its_definition_says() -> None:
    definition: dict[str, Any] = {
        "name": "web",
        "tags": ["a"],
        "port": 80,
        "meta": {"k": "v"},
        "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 81}},
        "weights": {"passing": 5},
        "enable_tag_override": True,
        "checks": [{"ttl": "5s", "status": "passing"}],
    }
    service, (check,) = service_from_definition(definition)
    assert (service.id, service.name, service.tags, service.weights) == ("web", "web", ("a",), Weights(5, 1))
    assert (service.tagged_addresses, service.enable_tag_override) == ({"lan": ServiceAddress("10.0.0.1", 81)}, True)
    assert (check.status, check.definition.ttl_s) == (HealthStatus.PASSING, 5.0)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"args": ["a", "b"]}, CheckDefinition(args=("a", "b"))),
        (
            {"http": "http://a", "method": "PUT", "header": {"X": ["1", "2"]}, "body": "b", "disable_redirects": True, "interval": "1m"},
            CheckDefinition(http="http://a", method="PUT", header={"X": ("1", "2")}, body="b", disable_redirects=True, interval_s=60.0),
        ),
        ({"tcp": "a:1", "tcp_use_tls": True, "timeout": "500ms"}, CheckDefinition(tcp="a:1", tcp_use_tls=True, timeout_s=0.5)),
        ({"udp": "a:1"}, CheckDefinition(udp="a:1")),
        ({"grpc": "a:1/s", "grpc_use_tls": True}, CheckDefinition(grpc="a:1/s", grpc_use_tls=True)),
        ({"h2ping": "a:1"}, CheckDefinition(h2ping="a:1")),
        ({"h2ping": "a:1", "h2ping_use_tls": False}, CheckDefinition(h2ping="a:1", h2ping_plaintext=True)),
        ({"alias_node": "n", "alias_service": "s"}, CheckDefinition(alias_node="n", alias_service="s")),
        (
            {"docker_container_id": "c", "shell": "/bin/sh", "args": ["a"]},
            CheckDefinition(docker_container_id="c", shell="/bin/sh", args=("a",)),
        ),
        ({"os_service": "nginx"}, CheckDefinition(os_service="nginx")),
        (
            {"ttl": "5s", "deregister_critical_service_after": "2m", "success_before_passing": 1, "failures_before_critical": 2,
             "failures_before_warning": 1, "output_max_size": 9},
            CheckDefinition(ttl_s=5.0, deregister_critical_service_after_s=120.0, success_before_passing=1, failures_before_critical=2,
                            failures_before_warning=1, output_max_size=9),
        ),
        ({"tls_server_name": "n", "tls_skip_verify": True}, CheckDefinition(tls_server_name="n", tls_skip_verify=True)),
    ],
)  # fmt: skip
def test_every_field_of_a_check_arrives(definition: dict[str, Any], expected: CheckDefinition) -> None:
    assert check_from_definition(definition).definition == expected


@pytest.mark.parametrize("script", [{"args": ["true"], "name": "s"}, {"docker_container_id": "c", "args": ["true"], "name": "s"}])
def test_a_script_is_refused_unless_scripts_are_enabled(script: dict[str, Any]) -> None:
    for services, checks in (([], [script]), ([{"name": "web", "checks": [script]}], [])):
        with pytest.raises(BadRequest, match="'s' is a script, and scripts are disabled"):
            definitions_from(services, checks, with_scripts=False)
        definitions_from(services, checks, with_scripts=True)


def test_a_header_that_is_no_list_of_strings_is_refused() -> None:
    assert check_from_definition({"http": "http://a", "header": {"X": "1"}}).definition.header == {"X": ("1",)}
    with pytest.raises(BadRequest, match=r"check\.header"):
        check_from_definition({"http": "http://a", "header": {"X": [1]}})
