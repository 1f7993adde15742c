"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import dns.exception
import grpc
import httpx

from rostra.errors import RostraError

from .pressure import stretched

Result = TypeVar("Result")

PAUSE_S = 0.02
NOT_YET = (AssertionError, OSError, LookupError, ValueError, httpx.HTTPError, grpc.RpcError, dns.exception.DNSException, RostraError)
"""What a condition may raise while it does not hold yet."""


def eventually(condition: Callable[[], Result | None], within_s: float, what: str = "") -> Result:
    """The first result of ``condition`` that is true. Fails after ``within_s``, stretched, with what it said last."""
    watch = Stopwatch()
    while True:
        last: object
        try:
            if result := condition():
                return result
            last = result
        except NOT_YET as error:
            last = f"{type(error).__name__}: {error}"
        if not watch.is_within(within_s):
            raise AssertionError(f"not within {within_s} s: {what or condition}; at last: {last}")
        time.sleep(PAUSE_S)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start

    def is_within(self, limit_s: float) -> bool:
        """Whether no more than that has passed, stretched."""
        return self.elapsed_s <= stretched(limit_s)
