"""Agents for one test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from .agents import Agents

_networks = itertools.count(60)


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    found = Agents(tmp_path, next(_networks))
    try:
        yield found
    finally:
        found.stop()
