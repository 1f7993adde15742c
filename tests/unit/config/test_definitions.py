"""Services and checks from configuration files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rostra.config.files import read_text
from rostra.config.given import Findings

Write = Callable[[str, str], str]


def test_services_and_checks_are_handed_on_in_snake_case(write: Write, loaded: Callable[..., Any]) -> None:
    write("a.hcl", """
        service {
          Name = "web" ID = "web-1" Port = 80 tags = ["a"] Meta { Some_Key = "v" } EnableTagOverride = true
          tagged_addresses { lan { address = "10.0.0.1" port = 81 } }
          Weights { Passing = 5 }
          check { TTL = "30s" DeregisterCriticalServiceAfter = "90m" Status = "Passing" }
          checks = [{ check_id = "second", ttl = "10s" }]
        }
        services { name = "db" }
        services { name = "cache" }
        check { id = "alive" name = "alive" ttl = "1m" }
    """)  # fmt: skip
    discovery = loaded("-dev", "-config-file=a.hcl").settings.discovery
    assert discovery.services == (
        {
            "name": "web", "id": "web-1", "port": 80, "tags": ["a"], "meta": {"Some_Key": "v"}, "enable_tag_override": True,
            "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 81}}, "weights": {"passing": 5},
            "checks": [{"ttl": "30s", "deregister_critical_service_after": "90m", "status": "passing"}, {"id": "second", "ttl": "10s"}],
        },
        {"name": "db"},
        {"name": "cache"},
    )  # fmt: skip
    assert discovery.checks == ({"id": "alive", "name": "alive", "ttl": "1m"},)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("service { port = 80 }", "-hcl:1: a service needs a name"),
        ('service { name = "a" prot = 80 }', '-hcl:1: unknown key "service.prot" (did you mean "service.port"?)'),
        ('service { name = "a" port = "80" }', '-hcl:1: service.port: expected a whole number, not "80"'),
        ('service { name = "a" port = 70000 }', "-hcl:1: service.port: 70000 is too large: at most 65535"),
        ('service { name = "a" }\nservices { name = "a" }', '-hcl:2: the service ID "a" is defined twice'),
        ('service { name = "a" check { id = "c" ttl = "9s" } }\nservices { name = "b" check { id = "c" ttl = "9s" } }',
         '-hcl:2: the check ID "c" is defined twice'),
        ('service { name = "a" check { id = "c" ttl = "9s" } }\ncheck { name = "c" ttl = "9s" }',
         '-hcl:2: the check ID "c" is defined twice'),
        ('service { name = "a" weights = 3 }', "-hcl:1: service.weights: expected a table, not 3"),
        ('service { name = "a" tagged_addresses { lan = 3 } }',
         "-hcl:1: service.tagged_addresses.lan: expected a table of address and port"),
        ("service = 3", "-hcl:1: service: expected a table, not 3"),
        ('service { name = "a" token = "" }', "-hcl:1: service.token is not in this version: there is no access control yet"),
        ('service { name = "a" connect { sidecar_service {} } }', "-hcl:1: service.connect is not in this version: there is no mesh"),
        ('check { name = "a" }', "-hcl:1: a needs exactly one of ttl, args, http, tcp, udp, grpc, h2ping, docker_container_id, os_service, "
         "alias_service, alias_node"),
        ('check { name = "a" ttl = "3s" interval = "3s" }', "-hcl:1: a has a ttl and an interval: it is either told its state or run"),
        ('check { name = "a" ttl = "3" }', '-hcl:1: check.ttl: "3" is not a duration: it needs a unit, as in 10s'),
        ('check { name = "a" ttl = "3s" status = "ok" }', '-hcl:1: check.status: "ok" is none of passing, warning, critical'),
        ('check { name = "a" ttl = "3s"\n deregister_critical_service_after = "3s" }',
         "-hcl:2: check.deregister_critical_service_after: 3s is too short: at least 1m"),
        ('check { name = "a" http = "http://x" interval = "100ms" }', "-hcl:1: check.interval: 100ms is too short: at least 1s"),
    ],
)  # fmt: skip
def test_a_bad_definition_is_refused_by_line_and_field(text: str, problem: str, problems: Callable[..., Any]) -> None:
    assert problem in problems("-dev", "-hcl", text)


def test_definitions_for_another_agent_are_read_without_judging_what_this_version_does() -> None:
    findings = Findings(judges=False)
    read_text('service { name = "web" check { http = "http://x" interval = "3s" } }', "web.hcl", "hcl", findings)
    assert findings.problems == []
    assert findings.given[0].value == ({"name": "web", "checks": [{"http": "http://x", "interval": "3s"}]},)


def test_names_that_dns_cannot_ask_for_are_warned_of(loaded: Callable[..., Any]) -> None:
    warnings = loaded("-dev", "-hcl", 'service { name = "a b" tags = ["x_y"] }').warnings
    assert [warning.split(" cannot")[0] for warning in warnings] == ['-hcl:1: service "a b"', '-hcl:1: tag "x_y" of service "a b"']
