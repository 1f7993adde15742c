"""A cluster whose servers show each other certificates: who is in, who is not, and what an operator reads of it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ..consensus.servers import Server, Servers
from ..harness.ports import Ports
from ..harness.program import Program
from ..harness.waiting import eventually
from .pki import Pki

pytestmark = pytest.mark.process


def is_let_in(address: str, credentials: grpc.ChannelCredentials | None, name: str = "server.dc1.consul") -> bool:
    """Whether a call to a door gets through."""

    async def call() -> bool:
        options = (("grpc.ssl_target_name_override", name),)
        made = aio.insecure_channel(address) if credentials is None else aio.secure_channel(address, credentials, options)
        async with made as channel:
            try:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30.0)
            except aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return False
                raise
            return True

    return asyncio.run(call())


def shown_by(pki: Pki, ca: Pki | None = None) -> grpc.ChannelCredentials:
    """A client with a certificate of ``pki`` that trusts ``ca``."""
    certificate, key = pki.make("client")
    return grpc.ssl_channel_credentials((ca or pki).ca_file.read_bytes(), key.read_bytes(), certificate.read_bytes())


def test_three_servers_with_mutual_tls_form_a_cluster_that_keeps_writes(three: Servers) -> None:
    three.wait_for_voters(3)
    follower = next(server for server in three.all if f"{server.host}:{server.ports.server}" != server.leader())
    follower.api.register("written-over-tls", "10.0.0.1")
    for server in three.all:
        assert server.api.get("/v1/catalog/node/written-over-tls").json()["Node"]["Address"] == "10.0.0.1"
        assert "TLS-Outgoing: true, TLS-Incoming: true" in server.running().output


def test_the_server_port_takes_clients_of_our_authority_and_nobody_else(three: Servers, pki: Pki, stranger: Pki) -> None:
    address = f"{three.all[0].host}:{three.all[0].ports.server}"
    assert is_let_in(address, shown_by(pki))
    assert not is_let_in(address, None), "plaintext"
    assert not is_let_in(address, grpc.ssl_channel_credentials(pki.ca_file.read_bytes())), "no certificate"
    assert not is_let_in(address, shown_by(stranger, ca=pki)), "a certificate of another authority"
    three.wait_for_voters(3)


def test_a_client_agent_with_a_certificate_lives_on_the_servers(three: Servers, pki: Pki, tmp_path: Path) -> None:
    with started(agent(tmp_path, three, "-node=c1", pki.block("internal_rpc", "client", "verify_server_hostname = true"))) as client:
        eventually(lambda: "consul" in client.api.get("/v1/catalog/services").json(), 20.0, "the client reads from the servers")
        eventually(lambda: "c1" in {each["Node"] for each in client.api.get("/v1/catalog/nodes").json()}, 20.0, "and is in the catalog")


def test_a_client_agent_without_a_certificate_is_told_why_it_knows_nothing(three: Servers, tmp_path: Path) -> None:
    with started(agent(tmp_path, three, "-node=c2")) as client:
        line = client.running().wait_for_line("no secure connection", 20.0)
        assert "it speaks TLS, and this agent has no certificate (tls.internal_rpc)" in line


@pytest.mark.parametrize("stray_proposes", [True, False], ids=["proposing", "waiting"])
@pytest.mark.parametrize("kind", ["without a certificate", "of another authority"])
def test_a_stray_server_is_not_taken_into_a_new_cluster_and_somebody_says_why(
    kind: str, stray_proposes: bool, pki: Pki, stranger: Pki, tmp_path: Path
) -> None:
    servers = Servers(tmp_path, 2, [], first_host=151)
    good, stray = servers.all
    good.command += [pki.block("internal_rpc"), f"-node-id={'0' if not stray_proposes else 'f'}0000000-0000-4000-8000-000000000001"]
    stray.command += [f"-node-id={'0' if stray_proposes else 'f'}0000000-0000-4000-8000-000000000001"]
    if kind == "of another authority":
        stray.command.append(stranger.block("internal_rpc"))
    asks = stray if stray_proposes else good
    reason = {
        ("without a certificate", True): "it speaks TLS, and this agent has no certificate",
        ("without a certificate", False): "it does not speak TLS",
        ("of another authority", True): "its certificate is not from an authority that this agent trusts",
        ("of another authority", False): "its certificate is not from an authority that this agent trusts",
    }[kind, stray_proposes]
    try:
        for server in servers.all:
            server.start()
        line = asks.running().wait_for_line("no secure connection", 20.0)
        assert reason in line
        assert (stray if asks is good else good).host in line
        asks.running().wait_for_line("bootstrap is waiting: ", 5.0)
        assert [server.leader() for server in servers.all] == ["", ""]
    finally:
        servers.stop()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("without a certificate", "it does not speak TLS"), ("of another authority", "not from an authority that this agent trusts")],
)
def test_a_stray_server_is_not_taken_into_a_running_cluster(kind: str, reason: str, three: Servers, stranger: Pki, tmp_path: Path) -> None:
    stray = Server(tmp_path, "stray", "127.0.0.148", three.all[0].ports, [three.all[0].host], 0, [])
    stray.command = [flag for flag in stray.command if not flag.startswith("-bootstrap-expect")]
    if kind == "of another authority":
        stray.command.append(stranger.block("internal_rpc"))
    leader = three.wait_for_leader().running()
    said = len(leader.lines)
    with started(stray):
        eventually(lambda: any("no secure connection" in line and reason in line for line in leader.lines[said:]), 20.0, "the reason")
        three.wait_for_voters(3)
        assert stray.leader() == ""


def test_certificates_are_renewed_one_server_after_the_other_without_losing_the_leader(pki: Pki, tmp_path: Path) -> None:
    flags = [pki.block("internal_rpc", more="verify_server_hostname = true")]
    servers = Servers(tmp_path, 3, flags, first_host=161)
    try:
        servers.start()
        leader = servers.all[0].leader()
        servers.wait_for_voters(3)
        pki.renew("internal_rpc")
        for server in servers.all:
            server.running().send(signal.SIGHUP)
            assert "tls.internal_rpc" in server.running().wait_for_line("configuration reloaded", 5.0)
        for number, server in enumerate(servers.all):
            server.api.register(f"after-reload-{number}", "10.0.0.1")
        assert {server.leader() for server in servers.all} == {leader}
        assert not any("peer lost" in server.running().output for server in servers.all)
        # One that comes back shows the new certificate, to servers that started with the old.
        down = next(server for server in servers.all if not leader.startswith(f"{server.host}:"))
        down.kill()
        down.start()
        servers.wait_for_leader()
        down.api.register("after-restart", "10.0.0.1")
    finally:
        servers.stop()


@pytest.mark.parametrize("flaw", ["missing", "open to all", "another key"])
def test_a_bad_certificate_is_named_with_its_key_before_anything_starts(flaw: str, program: Program, pki: Pki, tmp_path: Path) -> None:
    certificate, key = pki.make()
    match flaw:
        case "missing":
            key.unlink()
        case "open to all":
            key.chmod(0o644)
        case "another key":
            key = pki.make()[1]
    block = f'-hcl=tls {{ defaults {{ ca_file = "{pki.ca_file}" cert_file = "{certificate}" key_file = "{key}" }} }}'
    done = program.run(tmp_path, "agent", "-dev", "-node=n", *Ports.free().flags(), block)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(" ")[1] for line in lines] == ["tls.https.key_file", "tls.grpc.key_file", "tls.internal_rpc.key_file"]
    assert all(str(key) in line for line in lines)
    assert program.run(tmp_path, "validate", "--", "-dev", block).stderr.replace("rostra: ", "") == done.stderr.replace("rostra: ", "")


class started:  # noqa: N801 - it reads as a word
    """Runs a server, or a client, while it is open."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> Server:
        self._server.start()
        return self._server

    def __exit__(self, *_: object) -> None:
        self._server.running().kill()
        self._server.api.close()


def agent(folder: Path, three: Servers, *flags: str) -> Server:
    """A client agent beside the servers."""
    ports = Ports.free("127.0.0.149")
    lan = three.all[0].ports.serf_lan
    made = Server(folder, "client", "127.0.0.149", ports, [], 0, [])
    made.command = ["agent", f"-data-dir={folder}/data", "-bind=127.0.0.149", "-client=127.0.0.149", "-retry-interval=1s",
                    f"-retry-join={three.all[0].host}:{lan}", *ports.flags("http", "dns", "grpc", "serf_lan"), *flags]  # fmt: skip
    return made
