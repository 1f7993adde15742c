"""The description of the API (OpenAPI 3.1), made from the table that serves, and a page for people at ``/``."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from rostra.gateway.answer import VARY, Answer, json_answer
from rostra.gateway.ask import Ask
from rostra.gateway.encoding import indent_json
from rostra.gateway.responses import describe_responses
from rostra.gateway.routes import JSON_TYPE, Route, Table

_FLAGS: Final = frozenset({"stale", "consistent", "leader", "pretty", "cached", "prune", "wan", "replace-existing-checks"})
_MANY: Final = frozenset({"tag", "node-meta"})
_REQUIRED: Final = frozenset({"enable", "dns"})
DESCRIPTIONS: Final = {
    "dc": "Datacenter; the agent's own by default.",
    "stale": "Answer from this agent's view at once, leader or not.",
    "consistent": "Have the leader ask a quorum first.",
    "leader": "The default: linearizable under the leader's lease.",
    "max_stale": "Taken and not needed: no answer is older.",
    "segment": "There are none: with one, nothing is listed.",
    "index": "Block until the index of the answer is another than this.",
    "wait": "Longest time to block, with a unit: 10s, 5m.",
    "filter": "Expression that selects what is listed.",
    "pretty": "Indent the answer.",
    "token": "Taken and not used: there is no access control yet.",
    "near": "Node, or _agent: list in order of round trip from it.",
    "node-meta": "KEY:VALUE; only what is on nodes with it. All of several must hold.",
    "tag": "Only instances with the tag. All of several must hold.",
    "passing": "Only instances all of whose checks pass.",
    "cached": "Answer from this agent's view, as Consul does from its cache.",
    "enable": "true or false; required.",
    "dns": "DNS message in base64url, without padding; required.",
}


def describe(table: Table, version: str) -> dict[str, Any]:
    """The document."""
    bodies = [route.body for route in table.routes if route.body is not None]
    schemas, components = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    by_body = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_body)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rostra", "version": version, "description": "Consul's HTTP API, as far as this version serves it."},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, bodies: Mapping[type, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": re.sub(r"[^a-z0-9]+", "_", f"{route.method} {route.path}".lower()).strip("_"),
        "parameters": [*map(_path_parameter, re.findall(r"\{(\w+)\}", route.path)), *map(_query_parameter, route.parameters)],
        "responses": describe_responses(route),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": bodies[route.body]}}}
    elif route.media_type != JSON_TYPE and route.method != "GET":
        operation["requestBody"] = {"required": True, "content": {route.media_type: {"schema": {}}}}
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameter(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name == "index":
        schema = {"type": "integer", "minimum": 0}
    elif name in _MANY:
        schema = {"type": "array", "items": schema}
    parameter = {"name": name, "in": "query", "required": name in _REQUIRED, "schema": schema}
    if name in _FLAGS:
        parameter["allowEmptyValue"] = True
    return parameter | ({"description": DESCRIPTIONS[name]} if name in DESCRIPTIONS else {})


class Pages:
    """What describes the door itself; ``describe_table`` is called once the table stands."""

    def __init__(self) -> None:
        self._document = b"{}"
        self._page = b""

    def describe_table(self, table: Table, version: str) -> None:
        document = msgspec.json.encode(describe(table, version))
        self._document, self._page = indent_json(document), _page(table.routes, version)

    async def openapi(self, _ask: Ask) -> Answer:
        return json_answer(self._document)

    async def front(self, _ask: Ask) -> Answer:
        return Answer(200, ((b"Content-Type", b"text/html; charset=utf-8"), VARY), self._page)


def _page(routes: Sequence[Route], version: str) -> bytes:
    rows = "\n".join(
        f"<tr><td>{route.method}<td>{_linked(route)}<td>{html.escape(route.summary)}"
        for route in sorted(routes, key=lambda route: route.path)
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>rostra</title>
<style>body{{font:16px/1.5 system-ui;margin:3em auto;max-width:60em;padding:0 1em}}td{{padding:.1em 1em .1em 0;vertical-align:top}}</style>
<h1>rostra {html.escape(version)}</h1>
<p>This agent serves Consul's HTTP API. <a href="/v1/openapi.json">Its description (OpenAPI 3.1)</a> is made from the table below.
<table>
{rows}
</table>
""".encode()


def _linked(route: Route) -> str:
    """The path; a link where a browser may follow it as it stands."""
    shown = f"<code>{html.escape(route.path)}</code>"
    is_whole = route.method == "GET" and "{" not in route.path and not _REQUIRED.intersection(route.parameters)
    return f'<a href="{html.escape(route.path)}">{shown}</a>' if is_whole else shown
