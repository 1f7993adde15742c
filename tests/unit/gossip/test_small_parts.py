"""Keyring, files, addresses, timings, departures, admission: small parts with edges."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest

from rostra.errors import BadRequest, ConfigError
from rostra.gossip.address import Address
from rostra.gossip.admission import same_datacenter, servers_only
from rostra.gossip.awareness import Awareness
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.core import push_pull_scale
from rostra.gossip.departure import Departure, LeaveStep
from rostra.gossip.joining import resolve, split
from rostra.gossip.keyring import Keyring, decode_key, encode_key
from rostra.gossip.storage import KnownPeers, PoolStorage
from rostra.gossip.timing import DEV, LAN, LOCAL, WAN, Timing
from rostra.gossip.versions import OURS, Versions, check_compatible
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.tags import encode_tags

HOME = Address(bytes((10, 0, 0, 1)), 1)


class TestKeyring:
    def test_the_first_key_is_primary_until_another_is_used(self) -> None:
        ring = Keyring([b"a" * 16, b"b" * 24])
        ring.install(b"c" * 32)
        ring.install(b"a" * 16)
        assert list(ring.keys) == [b"a" * 16, b"b" * 24, b"c" * 32]
        ring.use(b"c" * 32)
        assert list(ring.keys) == [b"c" * 32, b"a" * 16, b"b" * 24]
        ring.remove(b"a" * 16)
        ring.remove(b"x" * 16)
        assert list(ring.keys) == [b"c" * 32, b"b" * 24]

    def test_the_primary_key_stays_and_a_strange_one_is_not_used(self) -> None:
        ring = Keyring([b"a" * 16])
        with pytest.raises(BadRequest):
            ring.remove(b"a" * 16)
        with pytest.raises(BadRequest):
            ring.use(b"b" * 16)
        assert list(ring.keys) == [b"a" * 16]

    @pytest.mark.parametrize("size", [0, 15, 17, 31, 33])
    def test_keys_have_three_sizes(self, size: int) -> None:
        with pytest.raises(BadRequest):
            Keyring([bytes(size)])
        with pytest.raises(BadRequest):
            decode_key(encode_key(bytes(size)))

    def test_a_key_that_is_not_base64_is_refused(self) -> None:
        with pytest.raises(BadRequest):
            decode_key("not base64!")


class TestStorage:
    def test_what_is_saved_is_loaded(self, tmp_path: Path) -> None:
        peers = KnownPeers(("10.0.0.1:8301", "[::1]:8301"), 5, 6, 7, has_left=True)
        storage = PoolStorage(tmp_path, "lan")
        storage.save_peers(peers)
        storage.save_keys([b"a" * 16, b"b" * 16])
        assert PoolStorage(tmp_path, "lan").load_peers() == peers
        assert PoolStorage(tmp_path, "lan").load_keys() == (b"a" * 16, b"b" * 16)
        assert PoolStorage(tmp_path, "wan").load_peers() == KnownPeers()
        assert PoolStorage(tmp_path, "wan").load_keys() == ()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lan.keyring", "lan.peers"]

    def test_keys_are_for_the_owner_only_and_in_serfs_form(self, tmp_path: Path) -> None:
        PoolStorage(tmp_path, "lan").save_keys([b"a" * 16])
        file = tmp_path / "lan.keyring"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text()) == [encode_key(b"a" * 16)]

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b'{"format": 9}', b'{"format": 1, "addresses": 5}', b'{"format": 1, "x": 1, "addresses": []}']
    )
    def test_broken_peers_are_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "lan.peers").write_bytes(content)
        assert PoolStorage(tmp_path, "lan").load_peers() == KnownPeers()

    @pytest.mark.parametrize("content", [b"", b"{", b'["short"]', b"[5]", b"5"])
    def test_a_broken_keyring_is_an_error_that_names_the_file(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "lan.keyring").write_bytes(content)
        with pytest.raises(ConfigError, match=r"lan\.keyring"):
            PoolStorage(tmp_path, "lan").load_keys()


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("10.0.0.1", ("10.0.0.1", 8301)),
            ("10.0.0.1:99", ("10.0.0.1", 99)),
            ("host.example:99", ("host.example", 99)),
            ("[::1]:99", ("::1", 99)),
            ("[::1]", ("::1", 8301)),
            ("::1", ("::1", 8301)),
            (" host ", ("host", 8301)),
        ],
    )
    def test_an_address_may_be_written_in_many_ways(self, text: str, expected: tuple[str, int]) -> None:
        assert split(text, 8301) == expected

    @pytest.mark.parametrize("text", ["", ":", ":99", "host:0", "host:65536", "host:abc", "[::1", "[::1]x", "[]:5", "host:²"])
    def test_what_is_no_address_is_refused(self, text: str) -> None:
        with pytest.raises(BadRequest):
            split(text, 8301)

    async def test_literal_addresses_resolve_to_themselves(self) -> None:
        assert await resolve("127.0.0.9:77", 1) == [Address(bytes((127, 0, 0, 9)), 77)]
        assert str((await resolve("[::1]:77", 1))[0]) == "[::1]:77"

    def test_addresses_print_and_compare_as_bytes(self) -> None:
        assert str(Address.parse("10.0.0.1", 5)) == "10.0.0.1:5"
        assert Address.parse("::ffff:10.0.0.1", 5) != Address.parse("10.0.0.1", 5)
        assert not Address(b"", 5).is_usable
        assert not Address(b"1234", 0).is_usable


class TestTiming:
    def test_the_profiles_are_memberlists(self) -> None:
        assert (LAN.probe_interval_s, LAN.probe_timeout_s, LAN.suspicion_mult, LAN.gossip_interval_s) == (1.0, 0.5, 4, 0.2)
        assert (WAN.probe_interval_s, WAN.probe_timeout_s, WAN.suspicion_mult, WAN.push_pull_interval_s) == (5.0, 3.0, 6, 60.0)
        assert (LOCAL.probe_timeout_s, LOCAL.indirect_checks, LOCAL.retransmit_mult, LOCAL.suspicion_mult) == (0.2, 1, 2, 3)
        assert (DEV.probe_interval_s, DEV.gossip_interval_s, DEV.suspicion_mult) == (0.1, 0.1, 3)

    def test_impossible_values_are_all_named(self) -> None:
        with pytest.raises(ConfigError) as refusal:
            dataclasses.replace(LAN, probe_interval_s=0, gossip_nodes=-1)
        assert len(refusal.value.problems) == 2
        Timing(dead_node_reclaim_s=0, indirect_checks=0, leave_propagate_delay_s=0)

    def test_large_pools_push_and_pull_less_often(self) -> None:
        assert [push_pull_scale(members) for members in (1, 32, 33, 64, 65, 128, 1024)] == [1, 1, 2, 2, 3, 3, 6]


class TestVersions:
    @pytest.mark.parametrize("versions", [(1, 5, 2, 2, 5, 5), (1, 5, 2, 2, 5, 4), (1, 5, 3, 0, 5, 4)])
    def test_members_that_understand_each_other_merge(self, versions: tuple[int, int, int, int, int, int]) -> None:
        check_compatible([OURS, Versions(*versions)], [OURS, Versions(*versions)])
        check_compatible([], [OURS])

    def test_one_who_understands_too_little_is_refused_though_it_is_the_other_who_speaks_too_new(self) -> None:
        old, new = Versions(1, 5, 2, 2, 4, 4), Versions(1, 5, 2, 2, 5, 5)
        with pytest.raises(WireError):
            check_compatible([old, new], [old, new])


class TestDeparture:
    def depart(self, *, alone: bool = False) -> tuple[Departure, BroadcastQueue, BroadcastQueue]:
        intents, nodes = BroadcastQueue(4), BroadcastQueue(4)
        departure = Departure(LAN, intents, nodes, lambda now: nodes.add(b"dead"), alone)
        assert departure.begin(intents.add(b"leave"), 100.0).step is LeaveStep.INTENT
        return departure, intents, nodes

    def spend(self, queue: BroadcastQueue) -> None:
        while queue:
            queue.take(100, 2, 1, 255)

    def test_each_step_waits_for_its_broadcast(self) -> None:
        departure, intents, nodes = self.depart()
        assert departure.tick(100.0) is None
        self.spend(intents)
        progress = departure.tick(100.5)
        assert progress is not None
        assert progress.step is LeaveStep.GOODBYE
        assert departure.tick(100.6) is None
        self.spend(nodes)
        progress = departure.tick(101.0)
        assert progress is not None
        assert progress.step is LeaveStep.LINGER
        assert departure.tick(103.9) is None
        progress = departure.tick(104.0)
        assert progress is not None
        assert progress.step is LeaveStep.DONE

    def test_nothing_is_waited_for_longer_than_it_takes(self) -> None:
        departure, _, _ = self.depart()
        steps = [departure.tick(now) for now in (104.9, 105.0, 109.9, 110.0, 112.9, 113.0, 200.0)]
        assert [step.step if step else None for step in steps] == [
            None,
            LeaveStep.GOODBYE,
            None,
            LeaveStep.LINGER,
            None,
            LeaveStep.DONE,
            None,
        ]

    def test_who_is_alone_leaves_at_once(self) -> None:
        departure, _, _ = self.depart(alone=True)
        steps = [departure.tick(100.0) for _ in range(4)]
        assert [step.step if step else None for step in steps] == [LeaveStep.GOODBYE, LeaveStep.LINGER, LeaveStep.DONE, None]


class TestAdmission:
    @pytest.mark.parametrize(("tags", "admitted"), [({"dc": "dc1"}, True), ({"dc": "dc2"}, False), ({}, True)])
    def test_a_lan_pool_is_one_datacenter(self, tags: dict[str, str], admitted: bool) -> None:
        assert (same_datacenter("dc1")("x", HOME, encode_tags(tags)) == "") is admitted

    @pytest.mark.parametrize(("tags", "admitted"), [({"role": "rostra"}, True), ({"role": "rostra-client"}, False), ({}, False)])
    def test_the_wan_pool_is_servers(self, tags: dict[str, str], admitted: bool) -> None:
        assert (servers_only(frozenset({"rostra", "consul"}))("x", HOME, encode_tags(tags)) == "") is admitted


def test_health_stays_within_its_range() -> None:
    awareness = Awareness(8)
    awareness.adjust(-3)
    assert awareness.score == 0
    awareness.adjust(100)
    assert awareness.score == 7
    assert awareness.scale(0.5) == 4.0
