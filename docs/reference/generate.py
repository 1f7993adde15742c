"""Makes the pages of the reference from the tables that the code itself uses; ``--check`` fails when those committed differ.

Each page is one function: rows of the table of settings, of the table of commands, of the gateway's routes, of the contracts, of the
metrics registry. Needs the ``dev`` dependency group (protoc).
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase

import rostra
from rostra.catalog.metrics import STATE_MACHINE
from rostra.cli.described import CommandText, FlagText, commands
from rostra.cli.exits import EXIT_CODES
from rostra.cli.main import CLIENTS, SERVERS, TOOLS
from rostra.config.help import default_text
from rostra.config.key import Key, Standing
from rostra.config.keys import DEFINITION_FIELDS, GROUPS
from rostra.consensus.metrics import RAFT
from rostra.gateway.ask import READ_PARAMETERS
from rostra.gateway.openapi import DESCRIPTIONS
from rostra.gateway.routes import Route, build_table
from rostra.gateway.unserved import UNSERVED
from rostra.telemetry.consul_names import PEER, prometheus_name

HERE = Path(__file__).resolve().parent
PROTO = HERE.parents[1] / "proto"
STANDINGS = {Standing.WORKS: "", Standing.HARMLESS: "**Accepted, without effect**", Standing.REFUSED: "**Refused at start**"}
AREAS = {"/": "The API about itself", "/v1/openapi.json": "The API about itself", "/dns-query": "DNS over HTTPS"}
SERVICE, METHOD = 6, 2  # field numbers in FileDescriptorProto and ServiceDescriptorProto, of which a comment's path is made

Page = Iterator[str]


def configuration() -> Page:
    yield "# Flags, keys and variables"
    yield (
        "Every setting has up to three spellings: a flag (`-flag value`, `-flag=value` or `--flag`), a key in a configuration file (HCL or "
        "JSON; a dot is a table in a table), and an environment variable. The later of these wins, and lists add up: defaults, files in "
        "lexical order, variables, flags, `-hcl`. `rostra validate` shows what comes of it, and from where. Consul's keys that rostra "
        "does not have are here too: those without effect are warned of, and those that would be missed are refused at start. "
        "**R**: applied by `rostra reload` (or SIGHUP) while the agent runs."
    )
    for title, rows in GROUPS:
        yield f"## {title}"
        yield table(("key", "flag", "variable", "default", "what it is"), map(_setting, rows))
    yield "## Service and check definitions"
    yield (
        "The fields of `service`, `services`, `check` and `checks` in a configuration file; see "
        "[services and checks](../guides/services.md)."
    )
    yield table(("field", "default", "what it is"), map(_definition_field, DEFINITION_FIELDS.values()))


def _setting(key: Key) -> Sequence[str]:
    flags = " ".join(code(f"-{flag}") for flag in key.flags)
    return code(key.path), flags, code(key.variable), code(default_text(key)), _meaning(key)


def _definition_field(key: Key) -> Sequence[str]:
    return code(key.path), code(default_text(key)), _meaning(key)


def _meaning(key: Key) -> str:
    sentences = [cell(key.help)]
    if key.choices:
        sentences.append(f"One of {', '.join(map(code, key.choices))}.")
    if key.why:
        sentences.append(f"(Default: {cell(key.why)}.)")
    if key.deprecated:
        sentences.append(f"Deprecated: use {code(key.deprecated)}.")
    if standing := STANDINGS[key.standing]:
        sentences.append(f"{standing}{': ' + cell(key.note) if key.note else ''}.")
    return " ".join(sentences) + (" **R**" if key.reloadable else "")


def command_line() -> Page:
    yield "# Commands"
    yield "What `rostra -h` and `rostra COMMAND -h` show. `rostra completion bash|zsh|fish` teaches your shell all of it."
    known = {command.command: command for command in commands()}
    yield "## Servers"
    yield "They run until they are stopped, and share the flags of [configuration](configuration.md)."
    yield table(("command", "what it does"), [(code(f"rostra {name}"), cell(text)) for name, text in SERVERS.items()])
    for title, names in (("Clients, which ask a running agent", CLIENTS), ("Tools, which need no agent", TOOLS)):
        yield f"## {title}"
        for name in names:
            yield from _command(known[name])
    yield "## Flags of every client"
    yield table(("flag", "what it does"), map(_flag, known["reload"].flags))
    yield "## Exit codes"
    yield table(("code", "meaning"), [(str(number), cell(text)) for number, text in EXIT_CODES.items()])


def _command(command: CommandText) -> Page:
    common = {flag.name for flag in next(found for found in commands() if found.command == "reload").flags}
    yield f"### `rostra {command.command}{' [flags]' if command.flags else ''}{' ' + command.arguments if command.arguments else ''}`"
    yield f"{cell(command.summary)}."
    if own := [flag for flag in command.flags if flag.name not in common]:
        yield table(("flag", "what it does"), map(_flag, own))


def _flag(flag: FlagText) -> Sequence[str]:
    text = cell(flag.text) + (f" One of {', '.join(map(code, flag.choices))}." if flag.choices else "")
    return code(f"-{flag.name}{f'=<{flag.value}>' if flag.value else ''}"), text


def http() -> Page:
    yield "# HTTP API"
    yield (
        "Consul's paths, parameters, bodies and answers, on port 8500. A running agent describes itself at `/v1/openapi.json` "
        "(OpenAPI 3.1), with the schema of every body. What differs on purpose is in [differences](../differences.md)."
    )
    nothing: Any = _Nothing()
    routes = build_table(*[nothing] * len(inspect.signature(build_table).parameters)).routes
    areas: dict[str, list[Route]] = {}
    for route in routes:
        areas.setdefault(AREAS.get(route.path) or route.path.split("/")[2].capitalize(), []).append(route)
    for area, found in areas.items():
        yield f"## {area}"
        yield table(("request", "what it does", "parameters", "body"), map(_route, sorted(found, key=lambda route: route.path)))
    yield "## Parameters"
    yield f"Where the tables say *reading*, a request takes {', '.join(map(code, READ_PARAMETERS))}."
    yield table(("parameter", "meaning"), [(code(name), cell(text)) for name, text in DESCRIPTIONS.items()])
    yield "## Not served yet"
    yield "These answer 501 with a text, never 404, which clients take for an absent key; `/v1/acl` answers 401 `ACL support disabled`."
    yield table(("path and all below it", "what it is for"), [(code(path), cell(text)) for path, text in UNSERVED.items()])


class _Nothing:
    """Stands for every handler: only the table is read."""

    def __getattr__(self, name: str) -> None:
        return None


def _route(route: Route) -> Sequence[str]:
    fields = [field.encode_name for field in msgspec.structs.fields(route.body)] if route.body else []
    own = list(map(code, route.parameters))
    if set(READ_PARAMETERS) <= set(route.parameters):
        own = ["*reading*", *(code(name) for name in route.parameters if name not in READ_PARAMETERS)]
    return code(f"{route.method} {route.path}"), cell(route.summary), " ".join(own), " ".join(map(code, fields))


def grpc() -> Page:
    yield "# gRPC API"
    yield (
        "Package `rostra.v1`. Port 8502 (the client address) is public: CatalogService, CatalogStreamService, AgentService, DnsService "
        "and the reading half of GossipService, with `grpc.health.v1` and reflection. The rest is spoken between agents (8300) and at role "
        "doors (sockets in the data folder). Messages are explained field by field in [`proto/rostra/v1`](../../proto/rostra/v1); "
        "[gRPC from Python](../guides/grpc.md) shows how to call them."
    )
    for file in _contracts():
        comments = {tuple(place.path): " ".join(place.leading_comments.split()) for place in file.source_code_info.location}
        for at, service in enumerate(file.service):
            yield f"## {service.name}"
            source = Path(file.name).name
            yield f"{cell(comments.get((SERVICE, at), ''))} ([`{source}`](../../proto/rostra/v1/{source}))"
            rows = []
            for number, method in enumerate(service.method):
                takes, gives = (name.rpartition(".")[2] for name in (method.input_type, method.output_type))
                shape = f"{'stream ' * method.client_streaming}{takes} → {'stream ' * method.server_streaming}{gives}"
                rows.append((code(method.name), cell(shape), cell(comments.get((SERVICE, at, METHOD, number), ""))))
            yield table(("RPC", "request → response", "what it does"), rows)


def _contracts() -> Sequence[FileDescriptorProto]:
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "set"
        sources = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "rostra/v1").glob("*.proto"))
        if protoc.main(["protoc", f"-I{PROTO}", "--include_source_info", f"--descriptor_set_out={output}", *sources]) != 0:
            raise SystemExit(1)
        return FileDescriptorSet.FromString(output.read_bytes()).file


def metrics() -> Page:
    yield "# Metrics"
    yield (
        "In Prometheus' text form at `/v1/agent/metrics?format=prometheus` of the HTTP API, and at `/metrics` of `-metrics-addr`, which "
        "every process has, whatever its roles. Times are in seconds."
    )
    rows = []
    for name, (family, labels) in sorted(_metrics().items()):
        shown = name + "_total" * (family.type == "counter" and not name.endswith("_total"))
        rows.append((code(shown), family.type, " ".join(map(code, labels)), cell(family.documentation)))
    yield table(("metric", "type", "labels", "what it measures"), rows)
    yield (
        "Raft goes by Consul's names; in JSON (`/v1/agent/metrics`) they are spelled with dots: `consul.raft.commitTime`. Times are in "
        "milliseconds here, with quantiles of the last minute, as Consul has them."
    )
    rows = []
    for metrics_ in (RAFT, STATE_MACHINE):
        for name, (kind, what) in metrics_.described.items():
            rows.append((code(prometheus_name(name)), kind.value, code(PEER) if name in metrics_.by_peer else "", cell(what)))
    yield table(("metric", "type", "labels", "what it measures"), sorted(rows))
    yield (
        "Beside these, every number that `rostra info` shows of gossip and consensus is a gauge with the label `group`: "
        '`rostra_gossip_members{group="serf_lan"}`, `rostra_consensus_commit_index{group="raft"}`. Those with a unit are in milliseconds.'
    )


def _metrics() -> Mapping[str, tuple[Metric, Sequence[str]]]:
    """By name, each with its labels: what any module of rostra keeps at its top."""
    found = {}
    for module in pkgutil.walk_packages(rostra.__path__, "rostra."):
        if not module.name.endswith(("__main__", "_pb2", "_pb2_grpc")):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, MetricWrapperBase | CounterMetricFamily):
                    family = value if isinstance(value, CounterMetricFamily) else next(iter(value.describe()))
                    found[family.name] = family, value._labelnames
    return found


PAGES: Mapping[str, Callable[[], Page]] = {
    "configuration.md": configuration,
    "commands.md": command_line,
    "http.md": http,
    "grpc.md": grpc,
    "metrics.md": metrics,
}


def cell(text: str) -> str:
    """Text in which nothing is Markdown or HTML by accident."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""


def table(header: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render(page: Callable[[], Page]) -> str:
    title, *rest = page()
    return "\n\n".join([title, "<!-- Made by docs/reference/generate.py: change the code, then run it. -->", *rest]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed pages, write nothing")
    is_check = parser.parse_args().check
    code_of_exit = 0
    for name, page in PAGES.items():
        text, path = render(page), HERE / name
        if not is_check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"docs/reference/{name}: not what the code gives; run python docs/reference/generate.py", file=sys.stderr)
            code_of_exit = 1
    return code_of_exit


if __name__ == "__main__":
    sys.exit(main())
