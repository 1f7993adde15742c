"""Role doors on TCP: a node in two processes whose roles meet over mutual TLS."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from ..harness.deployment import core_and_edge
from .pki import Pki
from .test_cluster import is_let_in, shown_by

pytestmark = pytest.mark.process


@pytest.mark.parametrize("names", ["checked", "unchecked"])
def test_a_node_in_two_processes_meets_over_tls_and_nobody_else_gets_in(names: str, pki: Pki, stranger: Pki, tmp_path: Path) -> None:
    more = "verify_server_hostname = true" if names == "checked" else ""
    split = core_and_edge(tmp_path)
    core = [*split.commands["core"], pki.block("internal_rpc", more=more)]
    edge = [*split.commands["edge"], pki.block("internal_rpc", "client", more), "-datacenter=dc1"]
    split.commands = {"core": core, "edge": edge}
    door = next(flag for flag in core if flag.startswith("-grpc-addr=")).removeprefix("-grpc-addr=")
    try:
        split.start()
        assert split.api.get("/v1/catalog/nodes").status_code == 200
        assert is_let_in(door, shown_by(pki))
        assert not is_let_in(door, None)
        assert not is_let_in(door, grpc.ssl_channel_credentials(pki.ca_file.read_bytes()))
        assert not is_let_in(door, shown_by(stranger, ca=pki))
        assert "neither encrypted" not in split.output
    finally:
        split.stop()


def test_an_edge_without_a_certificate_is_told_why_it_waits(pki: Pki, tmp_path: Path) -> None:
    split = core_and_edge(tmp_path)
    split.commands = {**split.commands, "core": [*split.commands["core"], pki.block("internal_rpc")]}
    try:
        split.start_one("core")
        edge = split.start_one("edge")
        assert "this agent has no certificate (tls.internal_rpc)" in edge.wait_for_line("no secure connection", 15.0)
    finally:
        split.stop()
