"""A look at what another agent shows, when no connection to it comes about: gRPC says little more than that the socket closed.

It is a handshake of our own, with our certificate and our authorities, and it tells a person the reason, or the connector the names
in the other's certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rostra.tls.contexts import inquiry_context
from rostra.tls.material import Material

LIMIT_S: Final = 2.0
REFUSAL_S: Final = 0.5
"""With TLS 1.3 a server refuses our certificate after the handshake, in what we read next."""
UNTRUSTED: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a chain that leads to no authority of ours."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``names`` of a certificate that we trust, or the ``reason`` why there is no connection; neither where TLS is not what is wrong."""

    names: Sequence[str] = ()
    reason: str = ""


async def look_at(target: str, material: Material | None) -> Finding:
    """What the agent at ``HOST:PORT`` shows to one with this material, or with none."""
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(LIMIT_S):
            return await _look(host.strip("[]"), int(port), material)
    except ssl.SSLError as error:
        return Finding(reason=_reason(error, material))
    except (OSError, ValueError):
        return Finding()


async def _look(host: str, port: int, material: Material | None) -> Finding:
    reader, writer = await asyncio.open_connection(host, port, ssl=inquiry_context(material))
    try:
        if material is None:
            return Finding(reason="it speaks TLS, and this agent has no certificate (tls.internal_rpc)")
        certificate = writer.get_extra_info("peercert") or {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSAL_S):
                if not await reader.read(1):
                    return Finding(reason="it ends the connection after the handshake: it seems not to trust our certificate")
        return Finding(names=_names(certificate))
    finally:
        writer.transport.abort()


def _names(certificate: dict[str, Any]) -> list[str]:
    """Names as one has to ask for them: of a wildcard any name that it covers."""
    names = [name for kind, name in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not names:
        names = [value for each in certificate.get("subject", ()) for kind, value in each if kind == "commonName"]
    return [f"any.{name[2:]}" if name.startswith("*.") else name for name in names]


def _reason(error: ssl.SSLError, material: Material | None) -> str:
    said = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in UNTRUSTED:
            return "its certificate is not from an authority that this agent trusts (tls.internal_rpc.ca_file)"
        return f"its certificate is refused: {error.verify_message}"
    if "ALERT" in said:
        if material is None:
            return "it speaks TLS, and this agent has no certificate (tls.internal_rpc)"
        return f"it refuses our certificate ({said.lower().replace('_', ' ')})"
    if said == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS" if material is not None else ""
    return f"no TLS with it: {said.lower().replace('_', ' ') or error}"
