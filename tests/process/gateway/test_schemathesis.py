"""schemathesis, from the API's own description: whatever it makes up, well-formed or not, is answered, and never with a failure of ours."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ..conftest import Start

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis import GenerationMode

EXAMPLES = int(os.environ.get("ROSTRA_EXAMPLES", "3"))
"""For each operation, of what fits the description and again of what does not."""

pytestmark = [pytest.mark.process, pytest.mark.timeout(600 + 60 * EXAMPLES)]

LIMIT_S = 20.0
NOT_ASKED = {"/v1/agent/leave", "/v1/agent/monitor", "/v1/agent/join/{address}", "/v1/snapshot", "/dns-query"}
"""The end of the agent; a stream without an end; an attempt to reach whatever host comes to its mind; archives and bytes of DNS, which it
does not know how to make."""

CONSULS_500 = (
    "No path to datacenter",
    "2 errors occurred",
    "agent: No node found with name",
    "Network segments are not supported",
)
"""Consul says 500 to these, with these words, and its clients match on them."""


def test_no_request_makes_it_fail_or_hang(start_dev: Start) -> None:
    node = start_dev('-hcl=default_query_time = "20ms" max_query_time = "20ms"')
    schema = schemathesis.openapi.from_url(f"http://{node.http_address}/v1/openapi.json")
    asked = 0
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        if operation.path in NOT_ASKED:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            asked += try_out(operation, mode)
    node.assert_alive()
    assert node.api.get("/v1/status/leader").status_code == 200
    assert asked > 100


def try_out(operation: Any, mode: GenerationMode) -> int:
    """How many requests were made."""
    asked = 0

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        answer = case.call(timeout=LIMIT_S)
        if answer.status_code >= 500:
            assert answer.text.startswith(CONSULS_500) or is_health(operation, answer), f"{case.as_curl_command()}: {answer.text}"

    try:
        ask()
    except Exception as error:
        if type(error).__name__ != "Unsatisfiable":  # nothing about this operation can be wrong
            raise
    return asked


def is_health(operation: Any, answer: Any) -> bool:
    """503 is what a critical service has."""
    return "/agent/health/" in operation.path and answer.status_code == 503
