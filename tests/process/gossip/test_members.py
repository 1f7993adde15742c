"""Members that come, go, fail, return and are forced to leave, between real agents."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest

from rostra.v1 import gossip_pb2, gossip_pb2_grpc

from ..harness.ports import free_port
from ..harness.waiting import eventually
from .agents import PATIENT, Agents, json

pytestmark = pytest.mark.process


def test_a_crashed_agent_returns_to_the_peers_it_knew_without_being_told(agents: Agents) -> None:
    server = agents.server("s1")
    client = agents.start("c1")
    assert client.cli("join", server.lan) == "Successfully joined cluster by contacting 1 nodes.\n"
    server.sees(c1="alive")
    eventually(lambda: server.lan in (client.data / "gossip" / "lan.peers").read_text(), 10, "the client has written down the server")
    client.kill()
    server.sees(c1="failed")
    client.start()
    client.running.wait_for_line("returned to known peers")
    server.sees(c1="alive")
    client.sees(s1="alive")


def test_an_agent_that_left_returns_only_with_rejoin(agents: Agents) -> None:
    server = agents.server("s1")
    client = agents.start("c1")
    client.cli("join", server.lan)
    server.sees(c1="alive")
    client.running.send(signal.SIGINT)
    assert client.running.wait() == 0
    server.sees(c1="left")
    client.start(["-rejoin"])
    server.sees(c1="alive")
    client.running.send(signal.SIGINT)
    assert client.running.wait() == 0
    server.sees(c1="left")
    client.start([])
    assert client.members() == {"c1": "alive"}
    assert "known peer" not in client.running.output


def test_joining_is_given_up_after_retry_max_and_at_once_without_retry(agents: Agents) -> None:
    nobody = agents.make("nobody").lan
    patient = agents.make("c1").run([f"-retry-join={nobody}", "-retry-max=2", "-retry-interval=500ms"])
    hasty = agents.make("c2").run([f"-join={nobody}"])
    for process in (patient, hasty):
        assert process.wait(20) == 1
        process.wait_for_line(f"role failed.*could not join the LAN pool.*{re.escape(nobody)}")
    assert sum("join failed" in line for line in patient.lines) >= 1


def test_a_failed_member_is_forced_to_leave_and_pruned(agents: Agents) -> None:
    server = agents.server("s1")
    for name in ("c1", "c2", "c3"):
        agents.start(name, f"-retry-join={server.lan}").sees(s1="alive")
    server.sees(c1="alive", c2="alive", c3="alive")
    first, second, third = agents.all[1:]
    second.kill()
    third.kill()
    server.sees(c2="failed", c3="failed")
    assert server.cli("force-leave", "c2") == ""
    server.sees(c2="left")
    first.sees(c2="left")
    assert server.cli("force-leave", "-prune", "c3") == ""
    first.sees(c3=None)
    server.sees(c3=None, c2="left")
    eventually(lambda: {node["Node"] for node in json(server.api.get("/v1/catalog/nodes"))} == {"s1", "c1"}, 10, "both left the catalog")
    code, said = server.try_cli("force-leave", "c3")
    assert (code, said) == (1, "Error force leaving: Unexpected response code: 500 (agent: No node found with name 'c3')\n")
    assert first.cli("force-leave", "s1") == ""
    eventually(lambda: "refuted" in server.running.output or server.members()["s1"] == "alive", 5)
    first.sees(s1="alive")


def test_others_are_told_the_advertised_address(agents: Agents) -> None:
    server = agents.server("s1", PATIENT)
    client, port = agents.make("c1"), free_port()
    client.start(["-bind=0.0.0.0", f"-serf-lan-port={port}", f"-advertise={client.host}", f"-retry-join={server.lan}", PATIENT])
    server.sees(c1="alive")
    (shown,) = [member for member in json(server.api.get("/v1/agent/members")) if member["Name"] == "c1"]
    assert (shown["Addr"], shown["Port"]) == (client.host, port)
    eventually(lambda: len(json(server.api.get("/v1/coordinate/nodes"))) == 2, 20, "it answers a probe there")
    assert "member suspected" not in server.running.output


def test_members_from_other_networks_are_not_let_in(agents: Agents) -> None:
    inside = agents.make("c1")
    network = inside.host.rpartition(".")[0]
    server = agents.server("s1", f"-serf-lan-allowed-cidrs={network}.0/30", "-serf-lan-allowed-cidrs=10.0.0.0/8")
    inside.start([f"-retry-join={server.lan}"])
    server.sees(c1="alive")
    outside = agents.start("c2", f"-retry-join={server.lan}", host=f"{network}.77")
    eventually(lambda: server.metric("refused_not_admitted") > 0, 10, "the server has refused it")
    assert server.members() == {"s1": "alive", "c1": "alive"}
    assert outside.running.is_running


def test_a_member_of_another_datacenter_is_not_let_into_the_lan_pool(agents: Agents) -> None:
    server = agents.server("s1")
    stranger = agents.start("c1", "-datacenter=dc2", f"-retry-join={server.lan}")
    stranger.running.wait_for_line("join failed.*datacenter")
    assert server.members() == {"s1": "alive"}
    assert stranger.members() == {"c1": "alive"}


def test_coordinates_are_learned_and_estimate_round_trips(agents: Agents) -> None:
    server = agents.server("s1")
    client = agents.start("c1", f"-retry-join={server.lan}")
    nodes = eventually(lambda: found if len(found := json(client.api.get("/v1/coordinate/nodes"))) == 2 else None, 10, "both coordinates")
    assert [node["Node"] for node in nodes] == ["c1", "s1"]
    assert all(len(node["Coord"]["Vec"]) == 8 for node in nodes)
    (one,) = json(client.api.get("/v1/coordinate/node/s1"))
    assert one["Node"] == "s1"
    assert client.api.get("/v1/coordinate/node/nobody").status_code == 404
    assert re.fullmatch(r"Estimated s1 <-> c1 rtt: \d+\.\d{3} ms \(using LAN coordinates\)\n", client.cli("rtt", "s1"))
    near = json(server.api.get("/v1/catalog/nodes?near=c1"))
    assert [node["Node"] for node in near] == ["c1", "s1"]


def test_a_user_event_reaches_every_agent_once(agents: Agents) -> None:
    server = agents.server("s1")
    client = agents.start("c1", f"-retry-join={server.lan}")
    client.sees(s1="alive")
    server.sees(c1="alive")
    heard: list[gossip_pb2.UserEvent] = []
    has_begun, has_two = threading.Event(), threading.Event()

    def listen(call: Iterator[gossip_pb2.WatchUserEventsResponse]) -> None:
        try:
            for message in call:
                has_begun.set()
                if message.HasField("user_event"):
                    heard.append(message.user_event)
                    if len(heard) == 2:
                        has_two.set()
        except grpc.RpcError:
            return  # cancelled

    with grpc.insecure_channel(client.grpc) as public, grpc.insecure_channel(f"unix:{server.data}/gossip.sock") as role_door:
        call = gossip_pb2_grpc.GossipServiceStub(public).WatchUserEvents(gossip_pb2.WatchUserEventsRequest())
        listener = threading.Thread(target=listen, args=(call,))
        listener.start()
        assert has_begun.wait(60)
        stub = gossip_pb2_grpc.GossipServiceStub(role_door)
        times = [
            stub.SendUserEvent(gossip_pb2.SendUserEventRequest(name="deploy", payload=payload), timeout=30).ltime
            for payload in (b"v1", b"\xff\x00")
        ]
        assert has_two.wait(60)
        assert sorted((event.ltime, event.name, event.payload) for event in heard) == [
            (times[0], "deploy", b"v1"), (times[1], "deploy", b"\xff\x00")
        ]  # fmt: skip
        with pytest.raises(grpc.RpcError) as refusal:
            stub.SendUserEvent(gossip_pb2.SendUserEventRequest(name="big", payload=bytes(600)), timeout=30)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError):  # the public door sends nothing
            gossip_pb2_grpc.GossipServiceStub(public).SendUserEvent(gossip_pb2.SendUserEventRequest(name="x"), timeout=30)
        call.cancel()
        listener.join(30)


def test_foreign_bytes_at_the_server_port_end_the_connection_at_once_and_each_peer_is_named_once(agents: Agents) -> None:
    server = agents.server("s1")
    network = server.host.rpartition(".")[0]
    foreign = (b"\x00\x12consul", b"\x01\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(60))
    peers = [f"{network}.{200 + number}" for number in range(len(foreign))]
    for peer, data in zip(peers, foreign, strict=True):
        for _ in range(2):
            with socket.create_connection(server.server, timeout=30.0, source_address=(peer, 0)) as connection:
                connection.sendall(data)
                while connection.recv(4096):
                    pass
    for peer in peers:
        server.running.wait_for_line(f"refused a connection to the server port.*{re.escape(peer)}", 30)
    eventually(lambda: json(server.api.get("/v1/status/leader")), 20, "it leads, whatever was thrown at it")
    client = agents.start("c1", f"-retry-join={server.lan}")  # speaks to that port, as it should, and stops doing so
    server.sees(c1="alive")
    client.kill()
    server.sees(c1="failed")
    named = [line for line in server.running.lines if "refused a connection to the server port" in line]
    assert len(named) == len(peers), named
