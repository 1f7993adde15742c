"""``/v1/snapshot``: the catalog as a file, and back. https://developer.hashicorp.com/consul/api-docs/snapshot

Both directions are streams: neither the file nor a body is ever here as a whole.
"""

from __future__ import annotations

from typing import Final

from rostra.errors import NotReady
from rostra.gateway.answer import DONE, VARY, Answer, Header, StreamedAnswer
from rostra.gateway.ask import Ask, read_options
from rostra.gateway.elsewhere import other_datacenter
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import SnapshotDoor
from rostra.views.reader import Writer

FILE_TYPE: Final = "application/x-gzip"
CONTENT_TYPE: Final[Header] = (b"Content-Type", FILE_TYPE.encode())
CATCH_UP_S: Final = 1.0
"""How long an answer waits for this agent's own views to show what was restored."""


class SnapshotEndpoints:
    """Each public method is an endpoint."""

    def __init__(self, snapshots: SnapshotDoor | None, writer: Writer, settings: GatewaySettings) -> None:
        self._snapshots = snapshots
        self._writer = writer
        self._settings = settings

    async def save(self, ask: Ask) -> StreamedAnswer:
        """``stale`` asks no leader."""
        settings = self._settings
        options = read_options(ask.parameters, default_wait_s=settings.default_query_time_s, max_wait_s=settings.max_query_time_s)
        saved = await self._door().save(options.consistency, self._other(ask))
        headers = [
            CONTENT_TYPE,
            VARY,
            (b"X-Consul-Index", b"%d" % saved.index),
            (b"X-Consul-Knownleader", b"true" if saved.known_leader else b"false"),
            (b"X-Consul-Lastcontact", b"%d" % saved.last_contact_ms),
        ]
        return StreamedAnswer(headers, saved.chunks, has_end=True)

    async def restore(self, ask: Ask) -> Answer:
        """Returns once the restored catalog is in force, and, where it is this datacenter's, shown by this agent."""
        assert ask.stream is not None, "the route takes its body as a stream"
        other = self._other(ask)
        index = await self._door().restore(ask.stream, other)
        if not other:
            await self._writer.caught_up(index, timeout_s=CATCH_UP_S)
        return DONE

    def _other(self, ask: Ask) -> str:
        return other_datacenter(ask.parameters.get("dc"), self._settings.datacenter)

    def _door(self) -> SnapshotDoor:
        if self._snapshots is None:
            raise NotReady("this process has no way to a catalog's snapshots")
        return self._snapshots
