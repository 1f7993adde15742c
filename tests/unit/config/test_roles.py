"""Roles of a process, and where it finds those that it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

CLIENT = "-data-dir=/data"


def test_a_server_runs_all_roles_and_a_client_four(loaded: Callable[..., Any]) -> None:
    server = loaded("-server", "-bootstrap-expect=3", CLIENT).settings.roles
    client = loaded(CLIENT).settings.roles
    assert server.run == ("gossip", "consensus", "catalog", "dns", "gateway", "local")
    assert client.run == ("gossip", "dns", "gateway", "local")
    assert not server.catalog_by_gossip
    assert client.catalog_by_gossip
    assert client.catalog == ()


def test_an_upstream_is_the_socket_in_the_data_folder_unless_given(loaded: Callable[..., Any]) -> None:
    roles = loaded("-data-dir=/data", "-gossip=127.0.0.1:9000,127.0.0.2:9000", role="gateway").settings.roles
    assert roles.run == ("gateway",)
    assert roles.gossip == ("127.0.0.1:9000", "127.0.0.2:9000")
    assert roles.catalog == ("unix:/data/catalog.sock",)
    assert roles.local == ("unix:/data/local.sock",)
    assert roles.consensus == ()


@pytest.mark.parametrize(
    ("role", "needs"),
    [("gossip", ""), ("consensus", "gossip"), ("catalog", "consensus gossip"), ("dns", "catalog"), ("gateway", "catalog gossip local"),
     ("local", "catalog gossip")],
)  # fmt: skip
def test_a_role_alone_is_told_which_upstreams_it_lacks(
    role: str, needs: str, problems: Callable[..., Any], loaded: Callable[..., Any]
) -> None:
    flags = [f"-{need}=127.0.0.1:9000" for need in needs.split()]
    if needs:
        assert [problem.split(":")[0] for problem in problems("-dev", role=role)] == [f"-{need}" for need in needs.split()]
    settings = loaded("-dev", *flags, role=role).settings
    assert settings.roles.run == (role,)
    assert settings.dev


@pytest.mark.parametrize("role", ["gossip", "catalog", "local"])
def test_a_role_alone_needs_a_door(role: str, problems: Callable[..., Any], loaded: Callable[..., Any]) -> None:
    upstreams = [f"-{name}=127.0.0.1:9000" for name in ("gossip", "consensus", "catalog") if name != role and role != "gossip"]
    if role == "catalog":
        loaded(*upstreams, "-grpc-addr=127.0.0.1:9001", "-data-dir=/data", role=role)
    else:
        assert problems(*upstreams, role=role) == (
            f"-data-dir: the role {role} needs a door: add -data-dir for a socket in that folder, or -grpc-addr for TCP",
        )
        assert loaded(*upstreams, "-grpc-addr=127.0.0.1:9001", role=role).settings.roles.grpc_addr == "127.0.0.1:9001"


def test_consensus_alone_needs_a_folder_for_its_log(problems: Callable[..., Any], loaded: Callable[..., Any]) -> None:
    argv = ("-gossip=127.0.0.1:9000", "-grpc-addr=127.0.0.1:9001")
    assert problems(*argv, role="consensus") == (
        "-data-dir: the role consensus needs a folder for its log: add -data-dir=FOLDER, or -dev to try it out",
    )
    settings = loaded("-gossip=127.0.0.1:9000", CLIENT, "-bootstrap", role="consensus").settings
    assert settings.server.enabled
    assert settings.server.voters_expected == 1


def test_a_role_that_forgets_at_a_restart_says_so(loaded: Callable[..., Any]) -> None:
    assert loaded("-grpc-addr=127.0.0.1:9001", role="gossip").warnings == (
        "-data-dir: without a data folder the node ID and the known members are forgotten at a restart",
    )


def test_without_gossip_in_the_process_nobody_makes_up_who_the_node_is(loaded: Callable[..., Any]) -> None:
    identity = loaded(CLIENT, role="dns").settings.identity
    assert (identity.node_name, identity.datacenter) == ("", "")
    identity = loaded(CLIENT, "-node=n1", "-datacenter=dc2", role="dns").settings.identity
    assert (identity.node_name, identity.datacenter) == ("n1", "dc2")
    assert loaded(CLIENT, role="dns").settings.addresses.advertise == ""


def test_an_edge_process_runs_dns_and_gateway_only(loaded: Callable[..., Any]) -> None:
    roles = loaded("-roles=gateway,dns", "-gossip=10.0.0.1:9000", "-local=10.0.0.1:9001").settings.roles
    assert roles.run == ("dns", "gateway")
    assert roles.catalog_by_gossip
    roles = loaded("-roles=dns", "-catalog=10.0.0.1:9000").settings.roles
    assert (roles.catalog, roles.catalog_by_gossip) == (("10.0.0.1:9000",), False)


def test_settings_of_roles_that_contradict_each_other_are_refused(problems: Callable[..., Any], loaded: Callable[..., Any]) -> None:
    assert problems("-dev", "-gossip=127.0.0.1:9000") == (
        "-gossip: the role gossip runs in this process: say it with -roles or leave this out",
    )
    assert problems("-roles=gossip,consensus", CLIENT) == ("-roles: the role consensus is for servers: add -server",)
    assert problems("-roles=dns", CLIENT, role="dns") == ("-roles: this process is the role dns; -roles belongs to the agent",)
    assert problems("-dev", "-roles=gossip", "-observer") == ("-observer: only the role catalog can be an observer",)
    assert loaded(CLIENT, "-observer", role="catalog").settings.roles.observer


def test_dns_on_an_edge_needs_nothing_but_a_catalog(loaded: Callable[..., Any]) -> None:
    settings = loaded("-catalog=127.0.0.1:9000", role="dns").settings
    assert (settings.roles.catalog, settings.roles.gossip) == (("127.0.0.1:9000",), ())


@pytest.mark.parametrize("role", ["dns", "gateway", "local"])
def test_a_client_s_role_in_a_process_of_its_own_finds_the_servers_by_gossip_too(role: str, loaded: Callable[..., Any]) -> None:
    roles = loaded(CLIENT, f"-roles={role}").settings.roles
    assert (roles.catalog, roles.catalog_by_gossip, roles.gossip) == ((), True, ("unix:/data/gossip.sock",))


def test_consensus_apart_shows_the_catalog_of_its_node_and_local_leaves_raft_with_it(loaded: Callable[..., Any]) -> None:
    assert loaded(CLIENT, "-bootstrap", role="consensus").settings.roles.catalog == ("unix:/data/catalog.sock",)
    assert loaded(CLIENT, role="local").settings.roles.consensus == ("unix:/data/consensus.sock",)
    assert loaded("-gossip=10.0.0.1:1", "-catalog=10.0.0.1:2", "-grpc-addr=10.0.0.1:3", role="local").settings.roles.consensus == ()
