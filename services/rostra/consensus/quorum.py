"""Majorities, without a network: what a quorum agrees on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

Value = TypeVar("Value", int, float)


def majority(voters: int) -> int:
    """The number of voters that make a quorum: any two of that size share one."""
    return voters // 2 + 1


def quorum_value(values: Iterable[Value]) -> Value:
    """The greatest value that at least a quorum has reached; ``values`` holds one for each voter, and at least one."""
    ordered = sorted(values, reverse=True)
    return ordered[len(ordered) // 2]
