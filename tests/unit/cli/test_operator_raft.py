"""``rostra operator raft remove-peer`` and ``transfer-leader``: what they ask an agent, and Consul's texts."""

from __future__ import annotations

import pytest

from rostra.cli import exits

from .conftest import FakeAgent, Rostra

PEER = "DELETE /v1/operator/raft/peer"
TRANSFER = "POST /v1/operator/raft/transfer-leader"


@pytest.mark.parametrize(("name", "value"), [("address", "10.0.0.1:8300"), ("id", "some-id")])
def test_a_peer_is_removed_by_what_names_it(rostra: Rostra, agent: FakeAgent, name: str, value: str) -> None:
    agent.answers[PEER] = b""
    outcome = rostra("operator", "raft", "remove-peer", f"-{name}={value}")
    assert (outcome.code, outcome.out) == (exits.OK, f'Removed peer with {name} "{value}"\n')
    assert agent.requests[0].query == {name: [value]}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "Error removing peer: an address or id is required for the peer to remove\n"),
        (("-id=x", "-address=y"), "Error removing peer: cannot give both an address and id\n"),
        (("-id=x",), 'Error removing peer: Unexpected response code: 404 (id "x" was not found in the Raft configuration)\n'),
    ],
)
def test_what_cannot_be_removed_is_said_in_consuls_words(rostra: Rostra, agent: FakeAgent, arguments: tuple[str, ...], text: str) -> None:
    agent.answers[PEER] = (404, 'id "x" was not found in the Raft configuration')
    outcome = rostra("operator", "raft", "remove-peer", *arguments)
    assert (outcome.code, outcome.err) == (exits.FAILED, text)


def test_leadership_is_handed_over(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers[TRANSFER] = {"Success": True}
    assert rostra("operator", "raft", "transfer-leader").out == "Success\n"
    assert rostra("operator", "raft", "transfer-leader", "-id=n2").out == "Success\n"
    assert [request.query for request in agent.requests] == [{}, {"id": ["n2"]}]
