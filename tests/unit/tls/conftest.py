from __future__ import annotations

from pathlib import Path

import pytest

from .pki import Pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """An authority with a server's certificate."""
    pki = Pki(tmp_path / "pki")
    pki.make()
    return pki


@pytest.fixture
def stranger(tmp_path: Path) -> Pki:
    """Another authority, with a certificate for the same names."""
    pki = Pki(tmp_path / "stranger")
    pki.make()
    return pki
