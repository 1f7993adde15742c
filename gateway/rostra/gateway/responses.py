"""What a route may answer, as the description of the API tells it. A test asks every route and holds its answers against this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rostra.gateway import dns_over_https
from rostra.gateway.routes import JSON_TYPE, Route

TEXT_TYPE: Final = "text/plain"
HTML_TYPE: Final = "text/html"

_CONTENT: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    ("GET", "/"): (HTML_TYPE,),
    ("PUT", "/v1/catalog/register"): (JSON_TYPE,),
    ("PUT", "/v1/catalog/deregister"): (JSON_TYPE,),
    ("PUT", "/v1/operator/autopilot/configuration"): (JSON_TYPE,),
    ("POST", "/v1/operator/raft/transfer-leader"): (JSON_TYPE,),
    ("PUT", "/v1/snapshot"): (),
    ("GET", "/v1/agent/monitor"): (TEXT_TYPE,),
    ("GET", "/v1/agent/metrics"): (JSON_TYPE, TEXT_TYPE),
}
"""Media types of an answer, where they are neither those of most routes nor of what is sent: JSON to who reads, nothing to who writes."""

_ABSENT: Final = (
    *("/v1/agent/service/{service}", "/v1/agent/service/maintenance/", "/v1/agent/check/pass/", "/v1/agent/check/warn/"),
    *("/v1/agent/check/fail/", "/v1/agent/check/update/", "/v1/coordinate/node/", "/v1/operator/raft/peer"),
    "/v1/operator/raft/transfer-leader",
)
"""Beginnings of the paths where what is named may not exist, and is then 404; elsewhere lists are empty, and what is gone is gone."""

_VERDICTS: Final[Mapping[str, Mapping[str, str]]] = {
    "/v1/agent/health/service/": {
        "404": "There is no such service.",
        "429": "It is warning; or too much at once.",
        "503": "It is critical, or in maintenance.",
    },
    "/v1/operator/autopilot/health": {"429": "The servers are not well; or too much at once."},
}
"""Beginnings of paths, and statuses that are an answer there and no refusal."""


def describe_responses(route: Route) -> dict[str, Any]:
    """By status."""
    content = _media_types(route)
    found = {
        "200": {"description": "Done.", "content": _content(content)},
        "400": _refusal("The request cannot be read, or makes no sense; the text says why."),
        "403": _refusal("The agent's configuration refuses it."),
        "429": _refusal("Too much at once."),
        "500": _refusal("It cannot be answered now: No cluster leader, No path to datacenter, …"),
    }
    if route.path.startswith(_ABSENT):
        found["404"] = _refusal("There is no such thing.")
    if route.body is not None or route.path == dns_over_https.PATH:
        found["413"] = _refusal("The body is too large.")
    if route.method == "POST" and route.path == dns_over_https.PATH:
        found["415"] = _refusal(f"It is no {dns_over_https.MEDIA_TYPE}.")
    for beginning, verdicts in _VERDICTS.items():
        if route.path.startswith(beginning):
            found |= {status: {"description": text, "content": _content((*content, TEXT_TYPE))} for status, text in verdicts.items()}
            found["200"]["content"] = _content((*content, TEXT_TYPE))
    return dict(sorted(found.items()))


def _media_types(route: Route) -> Sequence[str]:
    usual = (route.media_type,) if route.method == "GET" or route.media_type != JSON_TYPE else ()
    return _CONTENT.get((route.method, route.path), usual)


def _content(media_types: Sequence[str]) -> dict[str, Any]:
    return {media_type: {"schema": {}} for media_type in media_types}


def _refusal(description: str) -> dict[str, Any]:
    return {"description": description, "content": {TEXT_TYPE: {"schema": {"type": "string"}}}}
