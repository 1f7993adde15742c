"""The node: its name, ID, datacenter, metadata, server or client, and its data folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rostra.config.machine import Machine

SERVER = ("-server", "-data-dir=/data", "-bootstrap-expect=3")
NO_FOLDER = "-data-dir: the agent needs a folder for what it keeps: add -data-dir=FOLDER, or -dev to try it out"


def test_a_development_agent_is_a_quick_server_of_its_own_that_keeps_nothing(loaded: Callable[..., Any]) -> None:
    result = loaded("-dev")
    settings = result.settings
    assert result.warnings == ()
    assert settings.dev
    assert settings.server.enabled
    assert settings.server.voters_expected == 1
    assert settings.server.data_dir == ""
    assert (settings.server.heartbeat_timeout_s, settings.server.election_timeout_s) == (0.035, 0.052)
    assert (settings.gossip.lan.gossip_interval_s, settings.gossip.lan.probe_interval_s, settings.gossip.lan.suspicion_mult) == (
        0.1,
        0.1,
        3,
    )
    assert settings.roles.run == ("gossip", "consensus", "catalog", "dns", "gateway", "local")
    assert settings.ports.grpc == 8502
    assert settings.logs.level == "debug"
    addresses = settings.addresses
    plain = {addresses.bind, addresses.advertise, addresses.advertise_wan, addresses.serf_lan, addresses.serf_wan}
    assert plain | {*addresses.client, *addresses.dns, *addresses.http, *addresses.grpc} == {"127.0.0.1"}


def test_a_development_agent_takes_no_folder_and_no_other_servers(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    result = loaded("-dev", "-data-dir=/data")
    assert result.settings.server.data_dir == ""
    assert result.warnings == ("-data-dir: data_dir is not used: with -dev nothing is kept",)
    assert problems("-dev", "-bootstrap-expect=3") == (
        "-bootstrap-expect: bootstrap_expect: with -dev there is one server, and it elects itself",
    )


def test_a_server_is_told_what_to_add(problems: Callable[..., Any]) -> None:
    assert problems("-server") == (
        NO_FOLDER,
        "-server: add -bootstrap-expect=N (the number of servers) or -bootstrap for the first servers of a cluster, or "
        "-retry-join=ADDRESS to join one",
    )
    assert problems() == (NO_FOLDER,)


@pytest.mark.parametrize("extra", ["-bootstrap", "-bootstrap-expect=3", "-retry-join=10.0.0.1", "-join=10.0.0.1"])
def test_a_server_starts_with_a_bootstrap_setting_or_an_address_to_host(extra: str, loaded: Callable[..., Any]) -> None:
    settings = loaded("-server", "-data-dir=/data", extra).settings
    assert settings.server.voters_expected == {"-bootstrap": 1, "-bootstrap-expect=3": 3}.get(extra, 0)
    assert (settings.server.heartbeat_timeout_s, settings.server.election_timeout_s) == (5.0, 5.0)


@pytest.mark.parametrize("extra", ["-bootstrap", "-bootstrap-expect=1"])
def test_a_single_durable_server_is_warned_that_its_disk_is_the_catalog(extra: str, loaded: Callable[..., Any]) -> None:
    (warning,) = loaded("-server", "-data-dir=/data", "-bind=127.0.0.1", extra).warnings
    assert (
        warning
        == f"{extra.partition('=')[0]}: this is the only server: losing its disk loses the catalog; three servers survive the loss of one"
    )


def test_bootstrap_settings_must_agree_and_are_for_servers(problems: Callable[..., Any], loaded: Callable[..., Any]) -> None:
    assert problems("-bootstrap", "-data-dir=/data") == ("-bootstrap: bootstrap is for servers: add -server",)
    assert problems("-bootstrap", *SERVER) == ("-bootstrap: bootstrap contradicts bootstrap_expect = 3: leave one of them out",)
    assert loaded("-server", "-data-dir=/data", "-bind=127.0.0.1", "-bootstrap-expect=4").warnings == (
        "-bootstrap-expect: 4 servers survive no more failures than 3",
    )


def test_a_client_leaves_on_sigterm_and_a_server_does_not_unless_told(loaded: Callable[..., Any]) -> None:
    assert loaded("-data-dir=/data").settings.join.leave_on_terminate is True
    assert loaded(*SERVER).settings.join.leave_on_terminate is False
    assert loaded(*SERVER, "-hcl=leave_on_terminate = true").settings.join.leave_on_terminate is True
    assert loaded(*SERVER).settings.join.skip_leave_on_interrupt is False


def test_a_data_folder_whose_sockets_would_have_too_long_a_name_is_refused(problems: Callable[..., Any]) -> None:
    assert problems("-data-dir=/" + "d" * 100) == ("-data-dir: data_dir: the path is too long for the sockets in it, at most 92 bytes",)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("a.b", "has a dot"), ("a_b", "has an underscore"), ("a" * 64, "is over 63 characters"),
     ("a!", "has more than letters, digits and inner dashes"),
     ("-a", "has more than letters, digits and inner dashes"), ("a.b_c", "has a dot and has an underscore")],
)  # fmt: skip
def test_a_name_that_dns_has_trouble_with_is_warned_of(name: str, fault: str, loaded: Callable[..., Any]) -> None:
    for result in (loaded("-dev", f"-node={name}"), loaded("-dev", machine=Machine(name, ()))):
        (warning,) = result.warnings
        assert (
            warning
            == f'-node: the node name "{name}" {fault}: DNS look-ups of it can fail, and NS answers leave it out; choose another with -node'
        )


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\tb", "a" * 256, "é" * 128])
def test_what_is_no_name_is_refused(name: str, problems: Callable[..., Any]) -> None:
    assert "is no name for a node" in problems("-dev", "-node", name)[0]


def test_the_name_is_the_hosts_unless_given(loaded: Callable[..., Any]) -> None:
    result = loaded("-dev")
    assert (result.settings.identity.node_name, result.origins["node_name"]) == ("host-1", "host name")
    assert loaded("-dev", "-node=n1").settings.identity.node_name == "n1"


def test_the_node_id_is_a_uuid(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    assert (
        loaded("-dev", "-node-id=0A0B0C0D-0000-4000-8000-000000000001").settings.identity.node_id == "0a0b0c0d-0000-4000-8000-000000000001"
    )
    assert loaded("-dev").settings.identity.node_id == ""
    assert problems("-dev", "-node-id=7") == ('-node-id: node_id: "7" is not a UUID',)


def test_the_datacenter_is_in_lower_case(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    assert loaded("-dev", "-datacenter=DC_1").settings.identity.datacenter == "dc_1"
    assert "more than letters" in problems("-dev", "-datacenter=dc 1")[0]


def test_metadata_keeps_within_its_limits(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    def meta(count: int) -> list[str]:
        return [f"-node-meta=k{number}:v" for number in range(count)]

    assert len(loaded("-dev", *meta(64)).settings.identity.node_meta) == 64
    assert problems("-dev", *meta(65)) == ("-node-meta: node_meta: 65 pairs, at most 64",)
    assert loaded("-dev", "-node-meta=" + "k" * 128 + ":" + "v" * 512).settings.identity.node_meta
    assert problems("-dev", "-node-meta=" + "k" * 129 + ":v")
    assert problems("-dev", "-node-meta=k:" + "v" * 513)
    assert problems("-dev", "-node-meta=consul-x:v") == (
        '-node-meta: node_meta: the key "consul-x" begins with consul-, which is reserved',
    )


def test_domains_end_with_a_dot_and_are_in_lower_case(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    dns = loaded("-dev", "-domain=Example.COM", "-alt-domain=alt.").settings.dns
    assert (dns.domain, dns.alt_domain) == ("example.com.", "alt.")
    assert problems("-dev", "-domain=a..b") == ('-domain: domain: "a..b" is not a domain name',)
    assert problems("-dev", "-domain=") == ('-domain: domain: "" is not a domain name',)


def test_what_could_not_be_read_is_not_said_to_be_missing_too(problems: Callable[..., Any]) -> None:
    assert problems("-server", "-data-dir=/data", "-bootstrap-expect=x") == ('-bootstrap-expect: "x" is not a whole number',)
