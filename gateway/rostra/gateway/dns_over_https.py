"""DNS over HTTPS (RFC 8484): the dns role's answers at ``/dns-query``, by GET and by POST."""

from __future__ import annotations

import base64
import binascii
from typing import Final, Protocol

from rostra.clients.dns import DnsAnswer
from rostra.gateway.answer import Answer, HttpError
from rostra.gateway.ask import Ask

PATH: Final = "/dns-query"
MEDIA_TYPE: Final = "application/dns-message"
MAX_QUESTION: Final = 65_535
"""Bytes of a DNS message."""


class DnsDoor(Protocol):
    """What answers DNS messages."""

    async def query_for(self, message: bytes, client: str) -> DnsAnswer:
        """Raises ``BadRequest`` for bytes that are no question."""
        ...


class DnsOverHttps:
    """Both methods give the same answer; one that may be kept says for how long."""

    def __init__(self, dns: DnsDoor) -> None:
        self._dns = dns

    async def get(self, ask: Ask) -> Answer:
        """``?dns=`` the message in base64url, without padding."""
        if "dns" not in ask.parameters:
            raise HttpError(400, "Missing the parameter dns, a DNS message in base64url")
        return await self._answer(_decode(ask.parameters.get("dns")), ask)

    async def post(self, ask: Ask) -> Answer:
        """The body is the message."""
        if ask.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
            raise HttpError(415, f"Content-Type is not {MEDIA_TYPE}")
        if len(ask.body) > MAX_QUESTION:
            raise HttpError(413, f"A DNS message has at most {MAX_QUESTION} bytes")
        return await self._answer(ask.body, ask)

    async def _answer(self, message: bytes, ask: Ask) -> Answer:
        answer = await self._dns.query_for(message, ask.client)
        headers = ((b"Content-Type", MEDIA_TYPE.encode()), (b"Cache-Control", b"max-age=%d" % answer.ttl_s))
        return Answer(200, headers, answer.message)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise HttpError(400, "The parameter dns is not base64url") from None
