"""Our command line and Consul's, asked the same of the same agent, print the same bytes and exit alike."""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rostra.cli.http_api import Api

from .conftest import Run

pytestmark = pytest.mark.interop("consul")


def put(address: str, path: str, body: object) -> None:
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


@pytest.fixture(scope="module")
def filled(consul_agent: str) -> str:
    """The agent, with nodes and services of all shapes in its catalog."""
    put(consul_agent, "/v1/catalog/register", {"Node": "bare", "Address": "10.0.0.1"})
    service = {"Service": "a-rather-long-service-name", "Tags": ["z", "a", "m"]}
    node = {"Node": "a-node", "Address": "10.0.0.2", "NodeMeta": {"rack": "r2", "a": "b|c"}, "TaggedAddresses": {"wan": "1.2.3.4"}}
    put(consul_agent, "/v1/catalog/register", {**node, "Service": service})
    put(consul_agent, "/v1/catalog/register", {**node, "Service": {**service, "ID": "other", "Tags": ["b"]}})
    put(consul_agent, "/v1/catalog/register", {**node, "Service": {"Service": "zz"}})
    return consul_agent


SAME = [
    "members",
    "members -detailed",
    "members -wan",
    "members -wan -detailed",
    "members -status=alive",
    "members -status live",
    "members -status=^live",
    "members --status=alive --detailed=false",
    "members -status=failed",
    "catalog nodes",
    "catalog nodes -detailed",
    "catalog nodes -service=consul",
    "catalog nodes -service=a-rather-long-service-name -detailed",
    "catalog nodes -service=none",
    "catalog nodes -node-meta=rack=r2",
    "catalog nodes -node-meta=rack=r2 -node-meta=a=x",
    "catalog nodes -near=_agent",
    "catalog nodes -near=bare",
    "catalog nodes -filter=Node!=bare",
    "catalog nodes -filter=bogus==",
    "catalog nodes -datacenter=dc1",
    "catalog nodes -datacenter=dc9",
    "catalog services",
    "catalog services -tags",
    "catalog services -node=a-node -tags",
    "catalog services -node=bare",
    "catalog services -node=none",
    "catalog services -node-meta=rack=r2 -tags",
    "catalog services -node-meta=rack=r9",
    "catalog datacenters",
    "operator raft list-peers",
    "operator raft list-peers -stale",
    "maint",
    "maint -reason=x",
    "maint -enable -service=none",
    "force-leave none",
    "force-leave -prune none",
    "reload",
    "monitor -log-level=bogus",
    "watch -type=nodes",
    "watch -type=nodes -stale",
    "watch -type=services",
    "watch -type=service -service=none",
    "watch -type=service -service=zz -tag=x",
    "watch -type=checks -state=warning",
    "watch -type=checks -service=none",
    "watch -type=services false",
    "watch -type=services exit 7",
    "watch -type=services -shell=false -- sh -c false",
    "watch -type=service",
    "watch -type=checks -service=a -state=any",
    "watch -type=nodes -service=x",
    "watch -type=bogus",
]


def with_sorted_tags(output: str) -> str:
    """Consul lists a service's tags in the order of a map, a different one each time."""
    lists = re.compile(r"\[\n((?:\s+\"[^\n]*\"(?:,|)\n)+)(\s+\])")
    return lists.sub(lambda found: "\n".join(["[", *sorted(line.rstrip(",") for line in found[1].splitlines()), found[2]]), output)


@pytest.mark.parametrize("words", SAME)
def test_the_output_and_the_exit_code_are_consuls(filled: str, consul: Run, rostra: Run, words: str) -> None:
    theirs, ours = consul(filled, *words.split()), rostra(filled, *words.split())
    assert with_sorted_tags(ours.stdout) == with_sorted_tags(theirs.stdout)
    assert ours.stderr == theirs.stderr
    assert ours.returncode == theirs.returncode


def test_info_has_the_same_sections_and_names(filled: str, consul: Run, rostra: Run) -> None:
    theirs, ours = consul(filled, "info").stdout, rostra(filled, "info").stdout
    names = [[line.partition(" =")[0] for line in text.splitlines()] for text in (theirs, ours)]
    assert names[0] == names[1]
    assert "\tserver = true\n" in ours


def test_join_succeeds_for_one_address_and_reports_the_other(filled: str, consul: Run, rostra: Run) -> None:
    with urllib.request.urlopen(f"http://{filled}/v1/agent/self", timeout=10) as response:
        port = json.load(response)["DebugConfig"]["SerfPortLAN"]
    words = ("join", f"127.0.0.1:{port}", "127.0.0.1:1")
    theirs, ours = consul(filled, *words), rostra(filled, *words)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert ours.stderr.split() == theirs.stderr.replace("\n\n)", ")").split()
    assert rostra(filled, "join", "127.0.0.1:1").returncode == consul(filled, "join", "127.0.0.1:1").returncode == 1


def test_maintenance_begun_by_one_is_seen_and_ended_by_the_other(filled: str, consul: Run, rostra: Run) -> None:
    assert rostra(filled, "maint", "-enable", "-reason", "new  disk").stdout == "Node maintenance is now enabled\n"
    assert rostra(filled, "services", "register", "-name=web").returncode == 0
    assert consul(filled, "maint", "-enable", "-service=web", "-reason=why").returncode == 0
    theirs, ours = consul(filled, "maint").stdout, rostra(filled, "maint").stdout
    assert sorted(ours.split("\n\n")) == sorted(theirs.split("\n\n"))  # Consul's order is that of a map, a different one each time
    assert "Reason: new  disk" in ours
    assert consul(filled, "maint", "-disable").stdout == "Node maintenance is now disabled\n"
    assert rostra(filled, "maint", "-disable", "-service=web").stdout == 'Service maintenance is now disabled for "web"\n'
    assert rostra(filled, "services", "deregister", "-id=web").stdout == "Deregistered service: web\n"
    assert rostra(filled, "maint").stdout == consul(filled, "maint").stdout == ""


def agent_services(address: str) -> dict[str, object]:
    """Services and checks as the agent now has them."""
    both: dict[str, object] = {}
    for path in ("services", "checks"):
        with urllib.request.urlopen(f"http://{address}/v1/agent/{path}", timeout=10) as response:
            both[path] = json.load(response)
    return both


def test_a_file_of_services_registers_the_same_services_and_checks(filled: str, consul: Run, rostra: Run, tmp_path: Path) -> None:
    file = tmp_path / "services.hcl"
    file.write_text("""
        services {
          name = "web"
          id   = "w1"
          port = 80
          tags = ["b", "a"]
          meta { my_key = "v" }
          tagged_addresses { lan { address = "10.0.0.1" port = 81 } }
          weights { passing = 5 warning = 2 }
          enable_tag_override = true
          check {
            id = "w1-alive"
            name = "alive"
            ttl = "30s"
            status = "passing"
            notes = "note"
            deregister_critical_service_after = "10m"
          }
        }
        services {
          name = "db"
          checks = [{ name = "port", tcp = "127.0.0.1:1", interval = "1h", timeout = "2s" }]
        }
    """)
    theirs = consul(filled, "services", "register", str(file))
    registered_by_consul = agent_services(filled)
    assert consul(filled, "services", "deregister", str(file)).returncode == 0
    ours = rostra(filled, "services", "register", str(file))
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode)
    assert agent_services(filled) == registered_by_consul
    left = rostra(filled, "services", "deregister", str(file))
    assert left.stdout == "Deregistered service: w1\nDeregistered service: db\n"
    assert agent_services(filled)["services"] == {}


def test_a_service_by_flags_is_registered_alike(filled: str, consul: Run, rostra: Run) -> None:
    words = ("-name=web", "-id=w1", "-port=80", "-tag=b", "-tag=a", "-meta=k=v", "-address=10.0.0.1", "-tagged-address=lan=10.0.0.1:81")
    seen = []
    for command in (consul, rostra):
        assert command(filled, "services", "register", *words).stdout == "Registered service: web\n"
        seen.append(agent_services(filled))
        assert command(filled, "services", "deregister", "-id=w1").returncode == 0
    assert seen[0] == seen[1]


def test_monitor_streams_a_real_agents_log(filled: str) -> None:
    """The stream is endless: it is read until a line has come. The agent logs each request, so requests are made meanwhile."""
    is_seen = threading.Event()

    def ask_on() -> None:
        while not is_seen.wait(0.05):
            agent_services(filled)

    asking = threading.Thread(target=ask_on)
    asking.start()
    api = Api(Namespace(http_addr=filled), {})
    with closing(api.stream("/v1/agent/monitor", "starting monitor", {"loglevel": "debug"})) as parts:
        part = next(parts)
    is_seen.set()
    asking.join()
    assert b"[DEBUG]" in part or b"[INFO]" in part


def strange(name: str, status: int, role: str, **tags: str) -> dict[str, object]:
    return {"Name": name, "Addr": "10.0.0.1", "Port": 8301, "Status": status, "Tags": {"role": role, **tags}}


STRANGE = [
    strange("z", 1, "consul", build="1.2:x", vsn="7", dc="dc1", segment=""),
    strange("b", 4, "node", vsn="7"),
    strange("a", 3, "node", build="1.0", dc="dc2", segment="seg"),
    strange("c", 2, "stranger", build="1.0", dc="dc1"),
    strange("d", 0, "node", build="1.2.3:abc:d", segment="", vsn="2"),
    strange("B", 4, "consul", vsn="2"),
    strange("C", 1, "node", odd="x=y"),
]


@pytest.fixture
def strange_agent() -> Iterator[str]:
    """An agent whose members no real cluster has all at once."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(STRANGE).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("words", ["members", "members -detailed", "members -wan", "members -status=l", "members -status=none"])
def test_members_of_every_state_and_kind_are_shown_as_consul_shows_them(strange_agent: str, consul: Run, rostra: Run, words: str) -> None:
    theirs, ours = consul(strange_agent, *words.split()), rostra(strange_agent, *words.split())
    assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode)
    assert theirs.stdout.count("\n") > 1
