"""What each of the other commands asks an agent, and what it shows."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rostra.cli import exits
from rostra.version import VERSION

from .conftest import FakeAgent, Outcome, Rostra


def asked(agent: FakeAgent) -> list[tuple[str, str, dict[str, list[str]]]]:
    return [(request.method, request.path, request.query) for request in agent.requests]


def test_join_tries_every_address_and_succeeds_if_one_does(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers.update({"PUT /v1/agent/join/10.0.0.1%3A8301": b"", "PUT /v1/agent/join/b": (500, "no route")})
    outcome = rostra("join", "-wan", "b", "10.0.0.1:8301")
    assert (outcome.code, outcome.out) == (exits.OK, "Successfully joined cluster by contacting 1 nodes.\n")
    assert outcome.err == "Error joining address 'b': Unexpected response code: 500 (no route)\n"
    assert asked(agent)[0] == ("PUT", "/v1/agent/join/b", {"wan": ["1"]})
    assert rostra("join", "b").code == exits.FAILED
    assert "At least one address" in rostra("join").err


def test_a_join_of_many_shows_on_a_terminal_how_far_it_is(agent: FakeAgent) -> None:
    addresses = [f"10.0.0.{number}" for number in range(1, 9)]
    agent.answers.update({f"PUT /v1/agent/join/{address}": b"" for address in addresses})
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "rostra.cli", "join", f"-http-addr={agent.address}", *addresses]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True, timeout=120)
    os.close(theirs)
    assert done.stdout == "Successfully joined cluster by contacting 8 nodes.\n"
    assert b"Joining" in os.read(terminal, 65536)
    os.close(terminal)


def test_leave_and_reload_ask_and_say_that_it_is_done(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers.update({"PUT /v1/agent/leave": b"", "PUT /v1/agent/reload": b""})
    assert rostra("leave").out == "Graceful leave complete\n"
    assert rostra("reload").out == "Configuration reload triggered\n"


def test_force_leave_names_one_node_and_may_prune_it(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["PUT /v1/agent/force-leave/web.dc2"] = b""
    assert rostra("force-leave", "-prune", "-wan", "web.dc2").code == exits.OK
    assert asked(agent) == [("PUT", "/v1/agent/force-leave/web.dc2", {"prune": ["1"], "wan": ["1"]})]
    assert rostra("force-leave", "a", "b").code == exits.FAILED


def test_info_shows_sections_and_their_values_in_order(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/agent/self"] = {"Config": {}, "Stats": {"raft": {"term": "2", "state": "Leader"}, "build": {"version": "1"}}}
    assert rostra("info").out == "build:\n\tversion = 1\nraft:\n\tstate = Leader\n\tterm = 2\n"
    assert json.loads(rostra("info", "-format=json").out)["raft"]["term"] == "2"


def test_version_and_keygen_ask_nobody(rostra: Rostra, agent: FakeAgent) -> None:
    assert rostra("version").out == rostra("--version").out
    assert rostra("version").out.splitlines()[0] == f"rostra v{VERSION}"
    assert json.loads(rostra("version", "-format", "json").out)["Version"] == VERSION
    keys = {rostra("keygen").out.strip() for _ in range(2)}
    assert [len(base64.b64decode(key, validate=True)) for key in keys] == [32, 32]
    assert not agent.requests


def test_maint_changes_the_node_or_one_service(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers.update({"PUT /v1/agent/maintenance": b"", "PUT /v1/agent/service/maintenance/web%2F1": b""})
    assert rostra("maint", "-enable", "-reason", "-new disk-").out == "Node maintenance is now enabled\n"
    assert rostra("maint", "-disable", "-service=web/1").out == 'Service maintenance is now disabled for "web/1"\n'
    assert [query for _, _, query in asked(agent)] == [{"enable": ["true"], "reason": ["-new disk-"]}, {"enable": ["false"]}]


@pytest.mark.parametrize("words", [["-enable", "-disable"], ["-reason=x"], ["-service=x"], ["-disable", "-reason=x"]])
def test_maint_refuses_flags_that_contradict_each_other(rostra: Rostra, agent: FakeAgent, words: list[str]) -> None:
    assert rostra("maint", *words).code == exits.FAILED
    assert not agent.requests


def test_maint_shows_what_is_in_maintenance(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/agent/checks"] = {
        "serfHealth": {},
        "_node_maintenance": {"Node": "a", "Notes": "disk"},
        "_service_maintenance:web": {"ServiceID": "web", "Notes": "new version"},
    }
    assert rostra("maint").out == "Node:\n  Name:   a\n  Reason: disk\n\nService:\n  ID:     web\n  Reason: new version\n\n"


def test_monitor_hands_on_the_log_and_fails_when_the_agent_ends_it(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/agent/monitor"] = b"[INFO] one\n[INFO] two\n"
    outcome = rostra("monitor", "-log-level=debug", "-log-json")
    assert (outcome.code, outcome.out) == (exits.FAILED, "[INFO] one\n[INFO] two\n")
    assert asked(agent)[0][2] == {"loglevel": ["debug"], "logjson": ["true"]}


def test_ctrl_c_is_the_way_to_end_the_monitor(rostra: Rostra, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Iterator[bytes]:
        yield b"one\n"
        raise KeyboardInterrupt

    monkeypatch.setattr("rostra.cli.commands.monitor.Api.stream", interrupted)
    assert rostra("monitor") == Outcome(exits.OK, "one\n", "")


def node(name: str, **fields: object) -> dict[str, object]:
    return {
        "Node": name,
        "ID": "df984b9a-3e5c",
        "Address": "10.0.0.1",
        "Datacenter": "dc1",
        "TaggedAddresses": None,
        "Meta": None,
        **fields,
    }


def test_catalog_nodes_shows_short_ids_or_all_there_is(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/catalog/nodes"] = [node("a", TaggedAddresses={"wan": "2", "lan": "1"}, Meta={"k": "v"}), node("b", ID="")]
    assert rostra("catalog", "nodes").out.splitlines() == [
        "Node  ID        Address   DC",
        "a     df984b9a  10.0.0.1  dc1",
        "b               10.0.0.1  dc1",
    ]
    assert "a     df984b9a-3e5c  10.0.0.1  dc1  lan=1, wan=2     k=v\n" in rostra("catalog", "nodes", "-detailed").out
    assert len(json.loads(rostra("catalog", "nodes", "-format=json").out)) == 2


def test_catalog_nodes_of_a_service_asks_for_what_the_flags_say_and_shows_each_instance(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/catalog/service/web"] = [node("b"), node("a", NodeMeta={"k": "v"}), node("b")]
    words = ["-service=web", "-near=_agent", "-filter=Node != c", "-node-meta=k=v", "-node-meta=l=w", "-stale", "-datacenter=dc2"]
    assert [line.split()[0] for line in rostra("catalog", "nodes", *words).out.splitlines()] == ["Node", "b", "a", "b"]
    query = {"near": ["_agent"], "filter": ["Node != c"], "node-meta": ["k:v", "l:w"], "stale": [""], "dc": ["dc2"]}
    assert asked(agent) == [("GET", "/v1/catalog/service/web", query)]


def test_catalog_services_lists_names_and_tags(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/catalog/services"] = {"web": ["z", "a"], "consul": []}
    assert rostra("catalog", "services").out == "consul\nweb\n"
    assert rostra("catalog", "services", "-tags").out == "consul      \nweb         a,z\n"
    assert json.loads(rostra("catalog", "services", "-format=json").out) == {"consul": [], "web": ["z", "a"]}


def test_catalog_services_of_one_node_joins_the_tags_of_its_instances(rostra: Rostra, agent: FakeAgent) -> None:
    instances = {"w1": {"Service": "web", "Tags": ["a"]}, "w2": {"Service": "web", "Tags": ["b"]}, "x": {"Service": "x", "Tags": None}}
    agent.answers.update({"GET /v1/catalog/node/n1": {"Services": instances}, "GET /v1/catalog/node/n2": None})
    assert rostra("catalog", "services", "-node=n1", "-tags").out == "web      a,b\nx\n"
    empty = rostra("catalog", "services", "-node=n2")
    assert (empty.code, empty.out) == (exits.OK, "")
    assert empty.err.startswith("No services match")


def test_list_peers_shows_who_leads_and_who_votes(rostra: Rostra, agent: FakeAgent) -> None:
    server = {"Node": "a", "ID": "i", "Address": "10.0.0.1:8300", "Leader": True, "Voter": True, "ProtocolVersion": "3"}
    agent.answers["GET /v1/operator/raft/configuration"] = {"Servers": [server, {**server, "Node": "b", "Leader": False, "Voter": False}]}
    lines = rostra("operator", "raft", "list-peers").out.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["a", "i", "10.0.0.1:8300", "leader", "true", "3"],
        ["b", "i", "10.0.0.1:8300", "follower", "false", "3"],
    ]


def test_services_register_sends_what_the_flags_say(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["PUT /v1/agent/service/register"] = b""
    words = ["-name=web", "-id=w1", "-port=80", "-tag=a", "-tag=b", "-meta=k=v", "-address=10.0.0.1", "-tagged-address=lan=[fe80::1]:81"]
    assert rostra("services", "register", *words).out == "Registered service: web\n"
    assert json.loads(agent.requests[0].body) == {
        "ID": "w1",
        "Name": "web",
        "Address": "10.0.0.1",
        "Port": 80,
        "Tags": ["a", "b"],
        "Meta": {"k": "v"},
        "TaggedAddresses": {"lan": {"Address": "fe80::1", "Port": 81}},
    }


@pytest.mark.parametrize("words", [[], ["-port=1"], ["-name=a", "file.json"], ["-name=a", "-tagged-address=lan=1.2.3.4"]])
def test_services_register_refuses_what_is_not_one_service(rostra: Rostra, agent: FakeAgent, words: list[str]) -> None:
    assert rostra("services", "register", *words).code == exits.FAILED
    assert not agent.requests


def test_services_in_files_are_spelled_as_the_api_does_and_leave_the_same_way(rostra: Rostra, agent: FakeAgent, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.hcl"
    check = {"id": "c1", "http": "http://127.0.0.1/", "interval": "10s", "tls_skip_verify": True, "header": {"x_y": ["z"]}}
    service = {"name": "web", "meta": {"my_key": "v"}, "tagged_addresses": {"lan_ipv4": {"address": "10.0.0.1", "port": 1}}, "check": check}
    first.write_text(json.dumps({"service": {**service, "enable_tag_override": True}}))
    second.write_text('services { name = "one"\n id = "o1" }\nservices { name = "two" }\n')
    agent.answers["PUT /v1/agent/service/register"] = b""
    outcome = rostra("services", "register", str(first), str(second))
    assert outcome.out == "Registered service: web\nRegistered service: one\nRegistered service: two\n"
    sent = json.loads(agent.requests[0].body)
    assert (sent["Name"], sent["EnableTagOverride"], sent["Meta"]) == ("web", True, {"my_key": "v"})
    assert sent["TaggedAddresses"] == {"lan_ipv4": {"Address": "10.0.0.1", "Port": 1}}
    (sent_check,) = sent["Checks"]
    assert (sent_check["CheckID"], sent_check["HTTP"], sent_check["TLSSkipVerify"]) == ("c1", "http://127.0.0.1/", True)
    assert sent_check["Header"] == {"x_y": ["z"]}
    agent.answers.update({f"PUT /v1/agent/service/deregister/{name}": b"" for name in ("web", "o1", "two")})
    outcome = rostra("services", "deregister", str(first), str(second))
    assert outcome.out == "Deregistered service: web\nDeregistered service: o1\nDeregistered service: two\n"


def test_every_problem_in_the_files_is_reported_and_nothing_is_registered(rostra: Rostra, agent: FakeAgent, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"service":\n {"nme": "web"}}')
    outcome = rostra("services", "register", str(file), "/nowhere.json")
    assert outcome.code == exits.FAILED
    assert f"{file}:1: a service needs a name" in outcome.err
    assert "/nowhere.json: no such file or directory" in outcome.err
    assert not agent.requests


def test_validate_shows_the_effective_configuration_of_files_folders_and_further_flags(
    rostra: Rostra, agent: FakeAgent, tmp_path: Path
) -> None:
    (tmp_path / "a.hcl").write_text(f'node_name = "web"\ndata_dir = "{tmp_path}"\nbind_addr = "127.0.0.1"\n')
    outcome = rostra("validate", str(tmp_path))
    assert (outcome.code, outcome.err) == (exits.OK, "")
    assert 'node_name = "web"' in outcome.out
    assert json.loads(rostra("validate", "-format=json", str(tmp_path / "a.hcl")).out)["node_name"] == "web"
    assert '"db"' in rostra("validate", str(tmp_path), "--", "-node=db").out
    assert rostra("validate", "-quiet", str(tmp_path)).out == ""
    assert not agent.requests


def test_validate_reports_every_problem_with_its_place(rostra: Rostra, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"nod_name": "a",\n "ports": {"http": "x"}}')
    outcome = rostra("validate", str(file))
    assert outcome.code == exits.FAILED
    assert f'{file}:1: unknown key "nod_name" (did you mean "node_name"?)' in outcome.err
    assert f"{file}:2: " in outcome.err
    assert "at least one config file" in rostra("validate").err
