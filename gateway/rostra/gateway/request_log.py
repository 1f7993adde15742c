"""What was asked, in the log at level debug: a line for each request whose answer has gone out, as Consul's agent writes one."""

from __future__ import annotations

import logging
import re
import time
from typing import Final, NamedTuple

from rostra.model.addresses import host_port

log = logging.getLogger("rostra.gateway.http")

_TOKEN: Final = re.compile(rb"([?&]token=)[^&]*")


class Asked(NamedTuple):
    """A request under way, ``began`` on the clock of ``perf_counter``."""

    method: bytes
    url: bytes
    began: float


def is_kept() -> bool:
    """Whether anybody wants to see requests now."""
    return log.isEnabledFor(logging.DEBUG)


def asked(method: bytes, url: bytes) -> Asked:
    """A request that begins now. Tokens are nobody's business."""
    return Asked(method, _TOKEN.sub(rb"\1<hidden>", url), time.perf_counter())


def answered(request: Asked, head: bytes, client: tuple[str, int] | None) -> None:
    """Its answer began with ``head`` and has gone out."""
    about = {
        "method": request.method.decode("latin-1"),
        "url": request.url.decode("latin-1"),
        "from": host_port(*client) if client else "unix",
        "status": int(head[9:12]),
        "latency_ms": round((time.perf_counter() - request.began) * 1000, 3),
    }
    log.debug("request finished", extra=about)
