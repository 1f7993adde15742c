from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..consensus.servers import Servers
from .pki import Pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Another authority."""
    return Pki(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Servers]:
    """Three servers that show each other certificates and check the names in them."""
    flags = [pki.block("internal_rpc", more="verify_server_hostname = true")]
    servers = Servers(tmp_path_factory.mktemp("three"), 3, flags, first_host=141)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
