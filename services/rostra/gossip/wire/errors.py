"""The one error of the codec, and the closed list of reasons: each is a label of a metric."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """Why bytes from the network were refused."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNKNOWN_TYPE = "unknown_type"
    BAD_CHECKSUM = "bad_checksum"
    BAD_COMPRESSION = "bad_compression"
    EXPANDS_TOO_FAR = "expands_too_far"
    NESTED_TOO_DEEP = "nested_too_deep"
    WRONG_LABEL = "wrong_label"
    WRONG_KEY = "wrong_key"
    NOT_ENCRYPTED = "not_encrypted"
    ENCRYPTED = "encrypted"
    BAD_NAME = "bad_name"
    BAD_ADDRESS = "bad_address"
    BAD_VERSIONS = "bad_versions"
    BAD_INCARNATION = "bad_incarnation"
    NOT_FOR_US = "not_for_us"
    NOT_ADMITTED = "not_admitted"
    STALE = "stale"
    """Late, or replayed. The only reason that a network alone can bring about."""

    QUEUE_FULL = "queue_full"


class WireError(Exception):
    """Bytes from the network were refused. ``detail`` is for a developer's log; it quotes nothing of the input."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
