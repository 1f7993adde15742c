"""From settings to gossip pools: profiles, keys of ``gossip_lan`` and ``gossip_wan``, tags, who is let in."""

from __future__ import annotations

from pathlib import Path

import pytest

from rostra.agent.pools import pool_configs
from rostra.config.load import load
from rostra.gossip.address import Address
from rostra.gossip.pool import PoolConfig
from rostra.gossip.timing import LAN, WAN
from rostra.gossip.wire.tags import encode_tags
from rostra.model.identity import Identity

SERVER = Identity("s1", "11111111-2222-3333-4444-555555555555", "dc1", "10.0.0.1", "192.0.2.1", server=True)
CLIENT = Identity("c1", "66666666-2222-3333-4444-555555555555", "dc1", "10.0.0.2")
SOMEWHERE = Address(bytes((10, 0, 0, 9)), 1)


def pools(identity: Identity, *flags: str, data: Path | None = None) -> list[PoolConfig]:
    beside = ["-server", "-bootstrap"] if identity.server else []
    return pool_configs(load([*beside, "-bind=127.0.0.1", "-data-dir=/nowhere", *flags], {}).settings, identity, data)


def test_a_server_is_in_both_pools_with_consuls_profiles_and_a_client_in_one() -> None:
    lan, wan = pools(SERVER)
    assert (lan.pool, lan.name, lan.bind_port, lan.advertise_host, lan.timing) == ("lan", "s1", 8301, "10.0.0.1", LAN)
    assert (wan.pool, wan.name, wan.bind_port, wan.advertise_host, wan.timing) == ("wan", "s1.dc1", 8302, "192.0.2.1", WAN)
    assert [pool.pool for pool in pools(CLIENT)] == ["lan"]
    assert [pool.pool for pool in pools(SERVER, "-serf-wan-port=-1")] == ["lan"]


@pytest.mark.parametrize("pool", ["lan", "wan"])
def test_every_key_of_a_pools_timing_arrives_there_and_only_there(pool: str) -> None:
    keys = 'gossip_interval = "77ms" gossip_nodes = 9 probe_interval = "3s" probe_timeout = "700ms" retransmit_mult = 8 suspicion_mult = 7'
    found = {each.pool: each.timing for each in pools(SERVER, f"-hcl=gossip_{pool} {{ {keys} }}")}
    timing = found.pop(pool)
    assert (timing.gossip_interval_s, timing.gossip_nodes, timing.probe_interval_s) == (0.077, 9, 3.0)
    assert (timing.probe_timeout_s, timing.retransmit_mult, timing.suspicion_mult) == (0.7, 8, 7)
    assert list(found.values()) == [WAN if pool == "lan" else LAN]


def test_a_pool_of_its_own_for_development_is_quick() -> None:
    for pool in pools(SERVER, "-dev"):
        assert (pool.timing.probe_interval_s, pool.timing.gossip_interval_s, pool.timing.suspicion_mult) == (0.1, 0.1, 3)


def test_times_to_be_forgotten_after() -> None:
    lan, wan = pools(SERVER, '-hcl=reconnect_timeout = "8h"', '-hcl=reconnect_timeout_wan = "9h"')
    assert (lan.timing.reconnect_timeout_s, wan.timing.reconnect_timeout_s) == (8 * 3600, 9 * 3600)
    (client,) = pools(CLIENT, '-hcl=advertise_reconnect_timeout = "90s"')
    assert client.tags["rc_tm"] == "1m30s"


def test_our_tags_are_our_own_so_that_no_consul_takes_us_for_one() -> None:
    lan, _ = pools(SERVER)
    assert (lan.tags["role"], lan.tags["port"], lan.tags["bootstrap"], lan.tags["dc"]) == ("rostra", "8300", "1", "dc1")
    (client,) = pools(CLIENT)
    assert client.tags["role"] == "rostra-client"
    assert "port" not in client.tags


def test_each_pool_lets_in_whom_it_should() -> None:
    lan, wan = pools(SERVER, "-serf-lan-allowed-cidrs=10.0.0.0/24")

    def admits(pool: PoolConfig, name: str, address: Address = SOMEWHERE, **tags: str) -> bool:
        return pool.admit(name, address, encode_tags(tags)) == ""

    assert admits(lan, "x", role="node", dc="dc1")
    assert admits(lan, "serf")
    assert not admits(lan, "x", dc="dc2")
    assert not admits(lan, "x", Address(bytes((10, 0, 1, 9)), 1), dc="dc1")
    assert not lan.networks(bytes((10, 0, 1, 9)))
    assert admits(wan, "x.dc2", Address(bytes((10, 0, 1, 9)), 1), role="rostra", dc="dc2")
    assert not admits(wan, "x.dc2", role="consul", dc="dc2")
    assert not admits(wan, "x", role="rostra", dc="dc2")


def test_encryption_and_files(tmp_path: Path) -> None:
    key = "AAECAwQFBgcICQoLDA0ODw=="
    lan, wan = pools(SERVER, f"-encrypt={key}", "-hcl=encrypt_verify_incoming = false", data=tmp_path)
    assert lan.keys == wan.keys == (bytes(range(16)),)
    assert (lan.verify_incoming, lan.verify_outgoing) == (False, True)
    for pool in (lan, wan):
        assert pool.storage is not None
        pool.storage.save_keys(pool.keys)
    assert sorted(path.name for path in (tmp_path / "gossip").iterdir()) == ["lan.keyring", "wan.keyring"]
    (plain,) = pools(CLIENT)
    assert plain.storage is None
