"""The agent's gRPC door: what the catalog would never take is refused at once, by name, and holds up nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rostra.errors import BadRequest
from rostra.local.servicer import AgentServicer
from rostra.model.identity import Identity
from rostra.v1 import agent_pb2, catalog_pb2

from .test_driver import living

LONGEST = 2**64 - 1
"""Milliseconds: read as seconds and written again they are more than a message can hold."""


def door(driver: Any) -> AgentServicer:
    agent: Any = SimpleNamespace(identity=Identity("n1", "", "dc1"))
    return AgentServicer(driver, agent)


def service(**fields: Any) -> agent_pb2.RegisterServiceRequest:
    return agent_pb2.RegisterServiceRequest(service=catalog_pb2.Service(**{"name": "web", **fields}))


def check(**definition: Any) -> agent_pb2.RegisterCheckRequest:
    how = catalog_pb2.CheckDefinition(**{"tcp": "127.0.0.1:1", "interval_ms": 10_000, **definition})
    return agent_pb2.RegisterCheckRequest(check=agent_pb2.LocalCheck(check_id="alive", name="alive", definition=how))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (service(port=70_000), "Service.Port"),
        (service(name="a\0b"), "Service.Service"),
        (service(id="x" * 2000), "Service.ID"),
        (service(meta={"not a key": ""}), "Service.Meta"),
        (service(tagged_addresses={"lan": catalog_pb2.ServiceAddress(port=70_000)}), "Service.TaggedAddresses[lan].Port"),
        (check(interval_ms=LONGEST), "Check.Interval"),
        (check(timeout_ms=LONGEST), "Check.Timeout"),
        (check(deregister_critical_service_after_ms=LONGEST), "Check.DeregisterCriticalServiceAfter"),
        (check(tcp="", interval_ms=0, ttl_ms=LONGEST), "Check.TTL"),
    ],
)
async def test_what_no_catalog_takes_is_refused_by_name(tmp_path: Path, request_: Any, field: str) -> None:
    async with living(tmp_path) as life:
        servicer = door(life.driver)
        method = servicer.RegisterService if isinstance(request_, agent_pb2.RegisterServiceRequest) else servicer.RegisterCheck
        with pytest.raises(BadRequest) as refusal:
            await method(request_, None)
        assert refusal.value.field == field
        assert life.driver.state.count() == (0, 0)


async def test_one_that_is_refused_takes_none_of_those_with_it_that_came_at_the_same_moment(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        servicer = door(life.driver)
        outcomes = await asyncio.gather(
            servicer.RegisterService(service(id="first"), None),
            servicer.RegisterCheck(check(interval_ms=LONGEST), None),
            servicer.RegisterService(service(id="last"), None),
            return_exceptions=True,
        )
        assert [type(outcome).__name__ for outcome in outcomes] == ["RegisterServiceResponse", "BadRequest", "RegisterServiceResponse"]
        assert list(life.driver.state.services()) == ["first", "last"]
