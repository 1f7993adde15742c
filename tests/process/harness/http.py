"""The HTTP API as a program uses it, with a limit on every call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from .pressure import stretched

LIMIT_S = 5.0

Json = Any


class Api:
    """One agent's HTTP API at ``HOST:PORT``. Answers are returned whatever their status."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = httpx.Client(base_url=f"http://{address}", timeout=LIMIT_S, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, *, within_s: float = LIMIT_S, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.ask("GET", path, within_s=within_s, headers=headers)

    def put(self, path: str, body: Json = None, *, within_s: float = LIMIT_S) -> httpx.Response:
        return self.ask("PUT", path, body, within_s=within_s)

    def ask(
        self, method: str, path: str, body: Json = None, *, within_s: float = LIMIT_S, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """One request. ``body`` is sent as JSON; ``within_s``, stretched, limits the wait for the answer."""
        return self._client.request(method, path, json=body, timeout=stretched(within_s), headers=headers)

    def register(self, node: str, address: str, **more: Json) -> None:
        """``/v1/catalog/register``, which must succeed."""
        answer = self.put("/v1/catalog/register", {"Node": node, "Address": address, **more})
        assert answer.status_code == 200, answer.text

    def deregister(self, node: str) -> None:
        """Takes a node with everything on it out of the catalog."""
        answer = self.put("/v1/catalog/deregister", {"Node": node})
        assert answer.status_code == 200, answer.text


def index_of(answer: httpx.Response) -> int:
    """``X-Consul-Index``."""
    return int(answer.headers["X-Consul-Index"])
