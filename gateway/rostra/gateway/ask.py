"""A request, taken apart as far as every handler needs it, and the parameters that all reads share.

https://developer.hashicorp.com/consul/api-docs/features/consistency and …/features/blocking
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote_to_bytes

from rostra.config.durations import parse_duration
from rostra.gateway.answer import HttpError
from rostra.gateway.heads import BAD_ESCAPE
from rostra.model.consistency import Consistency

MAX_INDEX: Final = 2**64 - 1
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})

READ_PARAMETERS: Final = ("dc", "stale", "consistent", "leader", "max_stale", "index", "wait", "filter", "pretty", "token")
"""What every catalog and health read takes."""


class Parameters:
    """The query string. A name may come several times; without ``=`` it is there and empty. Raises 400 for an escape that is none."""

    __slots__ = ("_values",)

    def __init__(self, query: str = "") -> None:
        if "%" in query and (bad := BAD_ESCAPE.search(query.encode("latin-1"))):
            raise HttpError(400, f'Bad request: invalid URL escape "{bad[0].decode("latin-1")}" in the query')
        self._values: Mapping[str, Sequence[str]] = parse_qs(query, keep_blank_values=True) if query else {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str, default: str = "") -> str:
        """The first value."""
        values = self._values.get(name)
        return values[0] if values else default

    def all(self, name: str) -> Sequence[str]:
        """Every value, in order."""
        return self._values.get(name, ())


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. ``tail`` is what follows the route's path, percent-decoded; header names are in lower case. ``stream`` is the body as
    it comes, for a route that takes it so; then ``body`` is empty."""

    method: str = "GET"
    path: str = ""
    tail: str = ""
    parameters: Parameters = field(default_factory=Parameters)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    client: str = ""
    stream: AsyncIterator[bytes] | None = None


def decode_path(raw: bytes) -> str:
    """The path with its percent-encoding undone once; ``%2F`` is a slash like any other, as in Consul."""
    return unquote_to_bytes(raw).decode(errors="replace") if b"%" in raw else raw.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How fresh a read must be, and whether it blocks. ``index`` 0 never blocks."""

    consistency: Consistency
    cached: bool
    index: int
    wait_s: float


def read_options(parameters: Parameters, *, default_wait_s: float, max_wait_s: float) -> ReadOptions:
    """What all reads share; 400 with Consul's texts for what contradicts itself or cannot be read."""
    wait_s, index = _wait(parameters), _index(parameters)
    stale, consistent, cached = ("stale" in parameters, "consistent" in parameters, "cached" in parameters)
    if stale and consistent:
        raise HttpError(400, "Cannot specify ?stale with ?consistent, conflicting semantics.")
    if cached and consistent:
        raise HttpError(400, "Cannot specify ?cached with ?consistent, conflicting semantics.")
    _max_stale(parameters)
    consistency = Consistency.STALE if stale else Consistency.CONSISTENT if consistent else Consistency.DEFAULT
    return ReadOptions(consistency, cached, index, min(wait_s if wait_s > 0 else default_wait_s, max_wait_s))


def check_read_parameters(ask: Ask) -> None:
    """For reads that do not block: what contradicts itself or cannot be read is refused all the same."""
    read_options(ask.parameters, default_wait_s=0.0, max_wait_s=0.0)


def _wait(parameters: Parameters) -> float:
    text = parameters.get("wait")
    try:
        return parse_duration(text) if text else 0.0
    except ValueError:
        raise HttpError(400, "Invalid wait time") from None


def _index(parameters: Parameters) -> int:
    text = parameters.get("index")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= MAX_INDEX):
        raise HttpError(400, "Invalid index")
    return int(text)


def _max_stale(parameters: Parameters) -> None:
    """Taken and not needed: a view is at most one message behind, and LastContact says so."""
    text = parameters.get("max_stale")
    try:
        if text:
            parse_duration(text)
    except ValueError:
        raise HttpError(400, f'Invalid max_stale value "{text}"') from None


def is_passing_only(parameters: Parameters) -> bool:
    """``?passing`` alone means yes (https://developer.hashicorp.com/consul/api-docs/health#passing)."""
    if "passing" not in parameters:
        return False
    text = parameters.get("passing")
    if text and text not in _TRUE | _FALSE:
        raise HttpError(400, "Invalid value for ?passing")
    return not text or text in _TRUE


def check_namespace(ask: Ask) -> None:
    """There is one namespace: what is meant for another must not end up in it, nor be answered from it. Consul's texts."""
    if ask.headers.get("x-consul-namespace"):
        raise HttpError(400, 'Bad request: Invalid header: "X-Consul-Namespace" - Namespaces are a Consul Enterprise feature')
    if ask.parameters.get("ns"):
        raise HttpError(400, 'Bad request: Invalid query parameter: "ns" - Namespaces are a Consul Enterprise feature')


def required_flag(parameters: Parameters, name: str) -> bool:
    """A flag that must be given (``enable`` of maintenance)."""
    if name not in parameters:
        raise HttpError(400, f"Missing value for {name}")
    text = parameters.get(name)
    if text not in _TRUE | _FALSE:
        raise HttpError(400, f'Invalid value for {name}: "{text}"')
    return text in _TRUE


def is_set(parameters: Parameters, name: str) -> bool:
    """A flag that counts without a value, and not with one that says no."""
    return name in parameters and parameters.get(name) not in _FALSE


def node_meta(parameters: Parameters) -> tuple[tuple[str, str], ...]:
    """``node-meta=KEY:VALUE``, repeatable; all must hold."""
    pairs = (text.partition(":") for text in parameters.all("node-meta"))
    return tuple((key, value) for key, _, value in pairs)
