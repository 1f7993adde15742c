"""The captured packets of ``gossip-vectors.json``, and how its decoded form says what our messages say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

VECTORS_FILE = Path(__file__).parent / "gossip-vectors.json"
VECTORS: dict[str, Any] = json.loads(VECTORS_FILE.read_text())


def vectors(transport: str) -> list[dict[str, Any]]:
    return [vector for vector in VECTORS["vectors"] if vector["transport"] == transport]


def keys(vector: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(key) for key in vector.get("keys_hex", [])]


def label(vector: dict[str, Any]) -> bytes:
    return str(vector.get("label") or vector["decoded"].get("label", "")).encode()


def flatten(decoded: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages inside all wrappings, in order."""
    if "parts" in decoded:
        return [message for part in decoded["parts"] for message in flatten(part)]
    if "inner" in decoded:
        return flatten(decoded["inner"])
    return [decoded]


def fields(message: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}
