"""What every test of the configuration starts from: a machine with one private address, and two ways to load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rostra.config import Loaded, load
from rostra.config.machine import InterfaceAddress, Machine
from rostra.errors import ConfigError

MACHINE = Machine(
    "host-1",
    (InterfaceAddress("lo", "127.0.0.1"), InterfaceAddress("eth0", "10.1.2.3"), InterfaceAddress("eth1", "198.51.100.7")),
)


@pytest.fixture
def machine() -> Machine:
    return MACHINE


@pytest.fixture
def loaded() -> Callable[..., Loaded]:
    """Load arguments that must be good."""

    def run(*argv: str, env: Mapping[str, str] | None = None, role: str | None = None, machine: Machine = MACHINE) -> Loaded:
        return load(argv, env or {}, role=role, machine=machine)

    return run


@pytest.fixture
def problems() -> Callable[..., Sequence[str]]:
    """Load arguments that must be refused; the problems."""

    def run(*argv: str, env: Mapping[str, str] | None = None, role: str | None = None, machine: Machine = MACHINE) -> Sequence[str]:
        with pytest.raises(ConfigError) as caught:
            load(argv, env or {}, role=role, machine=machine)
        return caught.value.problems

    return run


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], str]:
    """Write a file into the working folder of this test; its name, as messages spell it."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return name

    return run
