"""Encrypted gossip: who is let in, keys that are rotated while everything runs, and what is kept on disk."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ..harness.program import this_rostra
from .agents import PATIENT, Agent, Agents

pytestmark = pytest.mark.process

OLD = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = "cnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJE="


def keyring(agent: Agent, pool: str = "lan") -> Path:
    return agent.data / "gossip" / f"{pool}.keyring"


def test_keys_are_rotated_live_without_losing_a_member_and_outlive_a_restart(agents: Agents) -> None:
    server = agents.server("s1", f"-encrypt={OLD}", PATIENT)
    first = agents.start("c1", f"-encrypt={OLD}", f"-retry-join={server.lan}", PATIENT)
    second = agents.start("c2", f"-encrypt={OLD}", f"-retry-join={server.lan}", PATIENT)
    second.sees(s1="alive", c1="alive", c2="alive")
    assert "Gossip: true" in server.running.output
    new = server.cli("keygen").strip()

    for change in (f"-install={new}", f"-use={new}", f"-remove={OLD}"):
        server.cli("keyring", change)
    listed = server.cli("keyring", "-list").split("\n\n")[1:]
    assert [part.split() for part in listed] == [["WAN:", new, "[1/1]"], ["dc1", "(LAN):", new, "[3/3]"]]
    assert server.cli("keyring", "-list-primary", "-local-only").endswith(f"\ndc1 (LAN):\n  {new} [3/3]\n")
    for agent in (server, first, second):
        assert json.loads(keyring(agent).read_text()) == [new]
        assert stat.S_IMODE(keyring(agent).stat().st_mode) == 0o600
        assert "member failed" not in agent.running.output
    assert json.loads(keyring(server, "wan").read_text()) == [new]

    first.kill()
    server.sees(c1="failed")
    first.start()  # with the old key in its flags: the keyring that was kept goes before it
    server.sees(c1="alive")
    first.running.wait_for_line("the key given is not in the keyring that was kept")
    late = agents.start("c3", f"-encrypt={OLD}", f"-retry-join={server.lan}")
    late.running.wait_for_line("join failed")
    assert server.metric("refused_wrong_key") > 0
    assert "c3" not in server.members()


def test_a_change_that_a_member_cannot_follow_fails_and_names_it(agents: Agents) -> None:
    server = agents.server("s1", f"-encrypt={OLD}")
    code, said = server.try_cli("keyring", f"-remove={OLD}")
    assert code == 1
    assert "WAN error: 1/1 nodes reported failure" in said
    assert "s1: the primary key cannot be removed" in said
    client = agents.start("c1", f"-encrypt={OLD}", f"-retry-join={server.lan}")
    server.sees(c1="alive")
    code, said = client.try_cli("keyring", f"-install={OTHER}")
    assert code == 1
    assert "ask a server" in said
    assert f"{OLD} [2/2]" in client.cli("keyring", "-list")
    assert OTHER not in server.cli("keyring", "-list")


def test_who_is_not_encrypted_stays_outside_and_is_counted(agents: Agents) -> None:
    server = agents.server("s1", f"-encrypt={OLD}")
    plain = agents.start("c1", f"-retry-join={server.lan}")
    plain.running.wait_for_line("join failed.*(refused|encrypted)")
    assert server.metric("refused_not_encrypted") > 0
    assert plain.members() == {"c1": "alive"}
    assert server.members() == {"s1": "alive"}
    assert plain.try_cli("keyring", "-list")[0] == 1


def test_encryption_is_turned_on_in_a_running_cluster_one_member_after_the_other(agents: Agents) -> None:
    """As Consul's guide has it: first the keys, then sending encrypted, then refusing what is not."""
    key, takes_plain, sends_plain = f"-encrypt={OLD}", "-hcl=encrypt_verify_incoming = false", "-hcl=encrypt_verify_outgoing = false"
    server = agents.server("s1")
    client = agents.start("c1", f"-retry-join={server.lan}", key, takes_plain, sends_plain)
    server.sees(c1="alive")
    server.kill()
    client.sees(s1="failed")
    server.start(["-server", "-bootstrap", f"-retry-join={client.lan}", key, takes_plain])
    server.sees(c1="alive")
    client.sees(s1="alive")
    client.kill()
    server.sees(c1="failed")
    client.start([f"-retry-join={server.lan}", key])
    server.sees(c1="alive")
    client.sees(s1="alive")
    assert client.metric("refused_not_encrypted") == 0
    assert f"{OLD} [2/2]" in server.cli("keyring", "-list", "-local-only")


def test_no_keyring_is_kept_or_read_when_told_so(agents: Agents) -> None:
    server = agents.server("s1", f"-encrypt={OLD}", "-disable-keyring-file")
    assert f"{OLD} [1/1]" in server.cli("keyring", "-list")
    assert not keyring(server).exists()
    server.kill()
    keyring(server).write_text(json.dumps([OTHER]))
    server.start()
    assert f"{OLD} [1/1]" in server.cli("keyring", "-list")


@pytest.mark.parametrize("content", ["", "[]", '["c2VjcmV0"]'])
def test_a_keyring_that_cannot_be_read_ends_the_agent_with_one_line_and_no_secret(agents: Agents, content: str) -> None:
    agent = agents.make("s1", "-server", "-bootstrap")
    (agent.data / "gossip").mkdir(parents=True)
    keyring(agent).write_text(content)
    process = agent.run()
    assert process.wait() == 1
    (line,) = process.errors
    assert str(keyring(agent)) in line
    assert "c2VjcmV0" not in line


@pytest.mark.parametrize("key", ["no base64", "c2VjcmV0"])
def test_a_key_that_is_none_is_refused_and_not_quoted(tmp_path: Path, key: str) -> None:
    done = this_rostra().run(tmp_path, "agent", "-dev", f"-encrypt={key}")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "-encrypt" in done.stderr
    assert "16, 24 or 32 bytes in base64" in done.stderr
    assert key not in done.stderr
