"""The cores know no network, no clock and no randomness but what they are given."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rostra.gossip.core

FOLDER = Path(rostra.gossip.core.__file__).parent
SHELL = {
    "asking",
    "driver",
    "feed",
    "finding",
    "joining",
    "keeping",
    "log",
    "pool",
    "role",
    "servers",
    "servicer",
    "storage",
    "transport",
    "__init__",
    "__main__",
}
CORES = sorted(path for path in FOLDER.rglob("*.py") if path.parent.name == "wire" or path.stem not in SHELL)
FORBIDDEN = {"asyncio", "socket", "time", "datetime", "os", "logging", "threading", "secrets", "uuid", "grpc"}


@pytest.mark.parametrize("path", CORES, ids=lambda path: path.stem)
def test_a_core_imports_nothing_that_does_input_or_output(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & FORBIDDEN
    own = {
        (node.module or "").removeprefix("rostra.gossip.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rostra.gossip")
    }
    assert not own & SHELL


@pytest.mark.parametrize("path", CORES, ids=lambda path: path.stem)
def test_a_core_takes_its_randomness_from_outside(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            assert node.attr == "Random"
