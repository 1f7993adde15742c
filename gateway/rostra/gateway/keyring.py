"""``/v1/operator/keyring``: the keys that gossip is encrypted with. https://developer.hashicorp.com/consul/api-docs/operator/keyring

Every operation goes to both pools of a server in lock-step, as in Consul; what went wrong where is one text in Consul's form.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec import Struct, field

from rostra.clients.gossip import LAN, WAN, KeyAction, KeyChange, KeyList
from rostra.errors import RostraError, Unsupported
from rostra.gateway.answer import DONE, Answer, HttpError
from rostra.gateway.ask import Ask, Parameters
from rostra.gateway.bodies import decode_body
from rostra.gateway.catalog import render_json
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import GossipDoor

RELAY_FACTOR_MAX: Final = 5
KEY_SIZES: Final = (16, 24, 32)
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})

Outcome = TypeVar("Outcome", bound=KeyList | KeyChange)


class KeyBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """What a change is about: a key in base64."""

    key: str = ""


class KeyringRecord(Struct, rename="pascal"):
    """The keys of one pool: each with the number of members that have it."""

    wan: bool = field(name="WAN")
    datacenter: str
    segment: str
    keys: Mapping[str, int]
    primary_keys: Mapping[str, int]
    num_nodes: int


class KeyringEndpoints:
    """Each public method is an endpoint."""

    def __init__(self, gossip: GossipDoor, settings: GatewaySettings) -> None:
        self._gossip = gossip
        self._settings = settings

    async def list_keys(self, ask: Ask) -> Answer:
        """``local-only`` leaves the WAN pool out. A client has none, and shows the LAN pool's keys only."""
        factor, local_only = _relay_factor(ask.parameters), _local_only(ask.parameters)
        pools = [pool for pool in await self._pools() if pool == LAN or not local_only]
        found = await self._everywhere(pools, lambda pool: self._gossip.list_keys(pool, relay_factor=factor))
        datacenter = self._settings.datacenter
        records = [
            KeyringRecord(pool == WAN, datacenter, "", keys.keys, keys.primary_keys, keys.members)
            for pool, keys in zip(pools, found, strict=True)
        ]
        return render_json(ask, records, self._settings)

    async def install(self, ask: Ask) -> Answer:
        return await self._change(ask, KeyAction.INSTALL)

    async def use(self, ask: Ask) -> Answer:
        return await self._change(ask, KeyAction.USE)

    async def remove(self, ask: Ask) -> Answer:
        return await self._change(ask, KeyAction.REMOVE)

    async def _change(self, ask: Ask, action: KeyAction) -> Answer:
        key, factor = _key(ask.body), _relay_factor(ask.parameters)
        if _local_only(ask.parameters):
            raise HttpError(400, "Bad request: Invalid use of local-only: local-only can only be set for list requests")
        if not (await self._gossip.get_status()).identity.server:
            raise Unsupported("a key is changed in both pools at once, and a client is in one of them: ask a server")
        await self._everywhere(await self._pools(), lambda pool: self._gossip.change_key(action, key, pool, relay_factor=factor))
        return DONE

    async def _pools(self) -> Sequence[str]:
        """Those that this node is in, in Consul's order."""
        return [pool for pool in (WAN, LAN) if pool in (await self._gossip.get_status()).pools]

    async def _everywhere(self, pools: Sequence[str], ask: Callable[[str], Awaitable[Outcome]]) -> list[Outcome]:
        """The outcome in each pool. Raises 500 when any member of any pool has not done it; the others have."""
        outcomes = await asyncio.gather(*(self._in_one(pool, ask) for pool in pools))
        done: list[Outcome] = []
        problems: list[str] = []
        for outcome in outcomes:
            if isinstance(outcome, _Problems):
                problems += outcome.lines
            else:
                done.append(outcome)
        if problems:
            listed = "".join(f"\t* {line}\n" for line in problems)
            raise HttpError(500, f"{len(problems)} error{'s' if len(problems) > 1 else ''} occurred:\n{listed}\n")
        return done

    async def _in_one(self, pool: str, ask: Callable[[str], Awaitable[Outcome]]) -> Outcome | _Problems:
        label = "WAN" if pool == WAN else f"{self._settings.datacenter} (LAN)"
        try:
            outcome = await ask(pool)
        except RostraError as error:
            return _Problems([f"{label} error: {error}"])
        if not outcome.errors:
            return outcome
        summary = f"{label} error: {len(outcome.errors)}/{outcome.members} nodes reported failure"
        return _Problems([summary, *(f"{name}: {problem}" for name, problem in sorted(outcome.errors.items()))])


@dataclass(frozen=True, slots=True)
class _Problems:
    lines: Sequence[str]


def _key(body: bytes) -> bytes:
    text = decode_body(body, KeyBody, "Bad request: Request decode failed: ").key
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        raise HttpError(400, "Bad request: Key is not base64") from None
    if len(key) not in KEY_SIZES:
        raise HttpError(400, f"Bad request: Key has {len(key)} bytes: key size must be 16, 24 or 32 bytes")
    return key


def _relay_factor(parameters: Parameters) -> int:
    text = parameters.get("relay-factor")
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise HttpError(400, f'Bad request: Error parsing relay factor: "{text}" is not a whole number')
    if int(text) > RELAY_FACTOR_MAX:
        raise HttpError(400, f"Bad request: Invalid relay-factor: Relay factor must be in range: [0, {RELAY_FACTOR_MAX}]")
    return int(text)


def _local_only(parameters: Parameters) -> bool:
    text = parameters.get("local-only")
    if text not in _TRUE | _FALSE:
        raise HttpError(400, f'Bad request: Error parsing local-only: "{text}" is neither true nor false')
    return text in _TRUE
