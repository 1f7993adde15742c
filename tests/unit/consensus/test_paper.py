"""What Ongaro's thesis (2014) says, section by section, of real cores on a hand-driven clock, disk and network."""

from __future__ import annotations

import msgspec
import pytest

from rostra.consensus import events, messages
from rostra.consensus.configuration import decode_configuration
from rostra.consensus.core import Role
from rostra.consensus.model import ChangeAction, Entry, EntryKind, HardState, Member, PeerId, ReadMode, SnapshotMeta, Suffrage, Write
from rostra.consensus.progress import PeerState
from rostra.consensus.ready import Options
from rostra.consensus.timing import READ_PATIENCE_S
from rostra.errors import Busy, Conflict, NotFound, NotLeader

from .helpers import CLUSTER, TIMING, Cluster, Server


def voted(server: Server) -> list[messages.VoteResponse]:
    return [m for m in server.cluster.queue if isinstance(m, messages.VoteResponse) and m.sender == server.id]


def ask_vote(server: Server, candidate: PeerId, *, term: int, last: tuple[int, int] = (99, 99), **flags: bool) -> None:
    request = messages.VoteRequest(CLUSTER, candidate, server.id, term, last_index=last[1], last_term=last[0], **flags)
    server.core.step(request, server.cluster.now)
    server.pump()


def stranger(name: str = "x") -> PeerId:
    return PeerId(name, "store")


# -- 3.3, 3.4: terms and elections -------------------------------------------------------------------------------------


def test_3_3_a_server_starts_as_follower_and_takes_up_any_newer_term() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    assert server.core.role is Role.FOLLOWER
    cluster.now += 1.0
    ask_vote(server, stranger(), term=7)
    assert server.core.term == 7


def test_3_3_a_leader_of_an_older_term_is_told_the_newer_one_and_steps_down() -> None:
    cluster = Cluster(3)
    old = cluster.elect("n1")
    cluster.cut = {"n1"}
    cluster.elect("n2")
    cluster.cut = set()
    cluster.advance(0.3)
    assert old.core.role is Role.FOLLOWER
    assert old.core.leader == cluster["n2"].id


def test_3_4_a_follower_that_hears_no_leader_for_its_timeout_starts_an_election() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    start = cluster.now
    assert TIMING.heartbeat_timeout_s <= server.core.deadline - start < 2 * TIMING.heartbeat_timeout_s
    cluster.now = server.core.deadline - 0.001
    server.core.tick(cluster.now)
    assert server.core.role is Role.FOLLOWER
    cluster.now = server.core.deadline
    server.core.tick(cluster.now)
    assert server.core.role is Role.PRE_CANDIDATE


def test_3_4_timeouts_are_randomised_and_drawn_anew() -> None:
    cluster = Cluster(3)
    deadlines = set()
    for _ in range(20):
        server = cluster["n1"]
        server.start()
        deadlines.add(cluster["n2"].core.deadline - cluster.now)
        cluster["n2"].core.step(heartbeat(cluster, "n1", "n2"), cluster.now)
    assert len(deadlines) == 20


def heartbeat(cluster: Cluster, sender: str, to: str, term: int = 1) -> messages.AppendRequest:
    return messages.AppendRequest(
        CLUSTER, cluster[sender].id, cluster[to].id, term, round=1, previous_index=0, previous_term=0, commit_index=0
    )


def test_3_4_heartbeats_keep_followers_from_standing() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(10)
    assert leader.core.role is Role.LEADER
    assert leader.core.term == 2


def test_3_4_one_vote_a_term_first_come_first_served() -> None:
    cluster = Cluster(3)
    cluster.now += 1.0
    server = cluster["n1"]
    ask_vote(server, stranger("a"), term=2)
    ask_vote(server, stranger("b"), term=2)
    ask_vote(server, stranger("a"), term=2)
    assert [response.granted for response in voted(server)] == [True, False, True]


def test_3_4_a_vote_survives_a_restart() -> None:
    cluster = Cluster(3)
    cluster.now += 1.0
    server = cluster["n1"]
    ask_vote(server, stranger("a"), term=2)
    server.start()
    cluster.now += 2.0
    cluster.queue.clear()
    ask_vote(server, stranger("b"), term=2)
    ask_vote(server, stranger("a"), term=2)
    assert [response.granted for response in voted(server)] == [False, True]


def test_3_4_a_split_vote_ends_with_a_new_election_after_a_randomised_timeout() -> None:
    cluster = Cluster(3)
    cluster.now += 3.0
    for name in ("n1", "n2", "n3"):
        cluster[name].core.tick(cluster.now)
        cluster[name].pump()
    cluster.deliver()
    cluster.advance(6)
    assert [server.core.role for server in cluster.servers.values()].count(Role.LEADER) == 1


def test_3_4_a_candidate_follows_whoever_won_its_term() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    cluster.now = server.core.deadline
    server.core.tick(cluster.now)
    server.core.step(heartbeat(cluster, "n2", "n1", term=5), cluster.now)
    assert server.core.role is Role.FOLLOWER
    assert server.core.leader == cluster["n2"].id


# -- 3.5: replication --------------------------------------------------------------------------------------------------


def test_3_5_an_entry_is_committed_once_a_quorum_has_it_on_disk() -> None:
    cluster = Cluster(5)
    leader = cluster.elect("n1")
    for name in ("n3", "n4", "n5"):
        cluster[name].disk = False
    index = leader.propose(b"a")
    cluster.deliver()
    assert leader.core.commit_index == index - 1
    cluster["n4"].disk = True
    cluster["n4"].pump()
    cluster.deliver()
    assert leader.core.commit_index == index


def test_3_5_followers_learn_the_commit_index_at_once_and_not_with_the_next_heartbeat() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    index = leader.propose(b"a")
    cluster.deliver()
    assert {server.core.commit_index for server in cluster.servers.values()} == {index}


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([1, 1, 1, 4, 4, 5, 5, 6, 6], "one entry is missing"),
        ([1, 1, 1, 4], "many are missing"),
        ([1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], "one entry too many"),
        ([1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], "two of a term too many"),
        ([1, 1, 1, 4, 4, 4, 4], "other entries, and fewer"),
        ([1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], "other entries, and more"),
    ],
)
def test_3_5_figure_3_6_every_follower_is_brought_to_the_leaders_log(terms: list[int], expected: str) -> None:
    leader_terms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
    cluster = Cluster(3)
    for name, log in (("n1", leader_terms), ("n2", terms), ("n3", leader_terms)):
        give_log(cluster[name], log)
    cluster.now += 2
    leader = cluster.elect("n1")
    cluster.advance(1)
    assert cluster["n2"].terms() == leader.terms(), expected
    assert leader.core.commit_index == leader.core.log.last_index


def give_log(server: Server, terms: list[int]) -> None:
    first = server.store.entries(1, 2)
    rest = [Entry(index, term, int(EntryKind.COMMAND), 0, b"%d" % index) for index, term in enumerate(terms[1:], 2)]
    server.store.perform([Write(1, HardState(7, None, 0, 1.0, CLUSTER), entries=[*first, *rest])])
    server.start()
    server.pump()


def test_3_5_a_conflict_is_repaired_in_one_step_for_each_term_and_not_for_each_entry() -> None:
    cluster = Cluster(3)
    give_log(cluster["n1"], [1] * 100 + [6] * 100)
    give_log(cluster["n2"], [1] * 100 + [2] * 100 + [3] * 100)
    give_log(cluster["n3"], [1] * 100 + [6] * 100)
    cluster.now += 2
    cluster.delivered.clear()
    cluster.elect("n1")
    cluster.advance(0.5)
    refusals = [m for m in cluster.delivered if isinstance(m, messages.AppendResponse) and not m.success]
    assert cluster["n2"].terms() == cluster["n1"].terms()
    assert len(refusals) <= 3


def test_3_5_appending_is_idempotent() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    leader.propose(b"a")
    appends = [m for m in cluster.queue if isinstance(m, messages.AppendRequest) and m.to == cluster["n2"].id]
    leader.propose(b"b")
    cluster.deliver()
    before = cluster["n2"].terms()
    for append in appends:
        cluster["n2"].core.step(append, cluster.now)
    cluster["n2"].pump()
    assert cluster["n2"].terms() == before


def test_3_5_figure_3_1_what_a_leader_has_not_spoken_of_is_not_committed_by_its_commit_index() -> None:
    """The follower's last two entries are another leader's. That this one has committed as many does not make them the same."""
    cluster = Cluster(3)
    follower = cluster["n2"]
    give_log(follower, [1, 1, 4, 4])
    for entries in ([], [Entry(2, 1, int(EntryKind.COMMAND), 0, b"2")]):
        append = messages.AppendRequest(
            CLUSTER, cluster["n1"].id, follower.id, 8, round=1, previous_index=1, previous_term=1, commit_index=4, entries=entries
        )
        follower.core.step(append, cluster.now)
        follower.pump()
        assert follower.core.commit_index == 1 + len(entries)


def test_3_5_a_leader_never_replaces_entries_of_its_own_log() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    leader.propose(b"a")
    cluster.deliver()
    assert leader.happened(events.LogTruncated) == 0
    with pytest.raises(AssertionError, match="two leaders in term 2"):
        leader.core.step(heartbeat(cluster, "n2", "n1", term=2), cluster.now)


# -- 3.6: safety -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "candidate", "granted"),
    [
        ([1, 1], (1, 2), True),
        ([1, 1], (2, 1), True),
        ([1, 1], (1, 3), True),
        ([1, 2], (1, 9), False),
        ([1, 1], (1, 1), False),
    ],
)
def test_3_6_1_a_vote_needs_a_log_at_least_as_up_to_date(own: list[int], candidate: tuple[int, int], granted: bool) -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    give_log(server, own)
    cluster.now += 2
    ask_vote(server, stranger(), term=9, last=candidate)
    assert [response.granted for response in voted(server)] == [granted]


def test_3_6_2_figure_3_7_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    cluster = Cluster(5)
    for name, log in {"n1": [1, 2], "n2": [1, 2], "n3": [1], "n4": [1], "n5": [1, 3]}.items():
        give_log(cluster[name], log)
    leader = cluster["n1"]
    elect_silently(cluster, leader)
    for name in ("n2", "n3"):
        acknowledge(cluster, name, leader, 2)
    assert leader.core.commit_index == 0, "entry 2, of term 2, is on three of five"
    acknowledge(cluster, "n2", leader, 3)
    assert leader.core.commit_index == 0
    acknowledge(cluster, "n3", leader, 3)
    assert leader.core.commit_index == 3


def acknowledge(cluster: Cluster, sender: str, leader: Server, index: int) -> None:
    response = messages.AppendResponse(
        CLUSTER, cluster[sender].id, leader.id, leader.core.term, round=1, success=True, match_index=index, promise_s=1.0
    )
    leader.core.step(response, cluster.now)


def elect_silently(cluster: Cluster, server: Server) -> None:
    """Makes a leader of which nobody has heard: its appends are all lost."""
    cluster.now = server.core.deadline + 2
    server.core.tick(cluster.now)
    server.pump()
    cluster.deliver(drop=[messages.AppendRequest])
    assert server.core.role is Role.LEADER


# -- 3.8, figure 3.1: nothing is claimed before it is on disk ------------------------------------------------------------


def test_3_8_a_vote_is_not_sent_before_it_is_on_disk() -> None:
    cluster = Cluster(3)
    cluster.now += 1.0
    server = cluster["n1"]
    server.disk = False
    ask_vote(server, stranger(), term=2)
    assert voted(server) == []
    server.sync()
    server.pump()
    assert [response.granted for response in voted(server)] == [True]


def test_3_8_a_candidate_asks_for_votes_once_its_own_is_on_disk() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    server.disk = False
    cluster.now = server.core.deadline
    server.core.tick(cluster.now)
    server.pump()
    cluster.deliver()
    assert server.core.role is Role.CANDIDATE
    assert cluster["n2"].core.term == 1
    server.sync()
    server.pump()
    cluster.deliver()
    assert server.core.role is Role.LEADER


def test_3_8_an_append_is_not_acknowledged_before_it_is_on_disk() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.cut = {"n3"}
    cluster["n2"].disk = False
    index = leader.propose(b"a")
    cluster.deliver()
    assert cluster["n2"].core.log.last_index == index
    assert leader.core.commit_index == index - 1
    cluster["n2"].sync()
    cluster["n2"].pump()
    cluster.deliver()
    assert leader.core.commit_index == index


def test_3_8_nothing_is_acknowledged_in_a_term_that_is_not_on_disk() -> None:
    """Else the server would return in an older term, and take from that term's leader what it has acknowledged to this one."""
    cluster = Cluster(3)
    cluster.elect("n1").propose(b"a")
    cluster.deliver()
    follower = cluster["n2"]
    follower.disk = False
    last, term = follower.core.log.last_index, follower.core.log.last_term
    append = messages.AppendRequest(
        CLUSTER, cluster["n3"].id, follower.id, 9, round=1, previous_index=last, previous_term=term, commit_index=last
    )
    follower.core.step(append, cluster.now)
    follower.pump()
    assert not any(isinstance(message, messages.AppendResponse) for message in cluster.queue)
    follower.sync()
    follower.pump()
    assert [message.match_index for message in cluster.queue if isinstance(message, messages.AppendResponse)] == [last]


def test_3_8_what_is_committed_is_not_handed_on_before_it_is_on_the_own_disk() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    leader.disk = False
    index = leader.propose(b"a")
    cluster.deliver()
    assert leader.core.commit_index == index
    assert leader.core.deliverable_index == index - 1
    leader.sync()
    assert leader.core.deliverable_index == index


def test_3_8_what_was_claimed_in_an_older_term_is_not_sent_any_more() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    follower = cluster["n2"]
    follower.disk = False
    leader.propose(b"a")
    cluster.deliver()
    follower.core.step(heartbeat(cluster, "n3", "n2", term=9), cluster.now)
    follower.pump()
    cluster.queue.clear()
    follower.sync()
    follower.pump()
    assert not cluster.queue


def test_heartbeats_and_reads_go_on_during_a_slow_fsync() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.2)
    for server in cluster.servers.values():
        server.disk = False
    leader.propose(b"a")
    cluster.advance(5)
    assert leader.core.role is Role.LEADER
    leader.read(ReadMode.LEASE, 1)
    leader.read(ReadMode.QUORUM, 2)
    cluster.deliver()
    assert [result.context for result in leader.reads] == [1, 2]
    assert {server.core.term for server in cluster.servers.values()} == {2}


def test_an_entry_that_was_cut_and_came_back_is_not_taken_for_the_one_on_disk() -> None:
    cluster = Cluster(3)
    cluster.now += 1.0
    follower = cluster["n1"]
    follower.disk = False
    append(cluster, "n2", term=2, entries=[(2, 2), (3, 2)])
    first = list(follower.waiting)
    append(cluster, "n3", term=3, entries=[(2, 3)])
    append(cluster, "n2", term=4, entries=[(2, 2), (3, 2)])
    follower.core.persisted(first[-1].number, cluster.now)
    assert follower.core.log.stable_index == 1
    follower.core.persisted(follower.waiting[-1].number, cluster.now)
    assert follower.core.log.stable_index == 3


def append(cluster: Cluster, sender: str, *, term: int, entries: list[tuple[int, int]]) -> None:
    request = messages.AppendRequest(
        CLUSTER,
        cluster[sender].id,
        cluster["n1"].id,
        term,
        round=1,
        previous_index=1,
        previous_term=1,
        commit_index=0,
        entries=[Entry(index, entry_term, int(EntryKind.COMMAND), 0, b"") for index, entry_term in entries],
    )
    cluster["n1"].core.step(request, cluster.now)
    cluster["n1"].pump()


# -- 3.10: leadership transfer -------------------------------------------------------------------------------------------


def test_3_10_the_target_is_brought_up_to_date_and_then_stands_at_once() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster["n3"].disk = False
    leader.propose(b"a")
    leader.core.transfer(cluster["n3"].id, cluster.now)
    leader.pump()
    cluster.deliver()
    assert leader.core.role is Role.LEADER
    assert not any(isinstance(message, messages.TimeoutNow) for message in cluster.delivered), "asked before it has everything"
    cluster["n3"].disk = True
    cluster["n3"].pump()
    cluster.deliver()
    assert cluster["n3"].core.role is Role.LEADER
    assert leader.core.role is Role.FOLLOWER


def test_3_10_without_a_target_the_voter_that_is_furthest_on_takes_over() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster["n2"].disk = False
    leader.propose(b"a")
    cluster.deliver()
    assert leader.core.transfer(None, cluster.now) == cluster["n3"].id


def test_3_10_proposals_are_refused_during_a_transfer_and_taken_again_when_it_is_given_up() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.cut = {"n3"}
    leader.core.transfer(cluster["n3"].id, cluster.now)
    with pytest.raises(NotLeader):
        leader.core.propose([b"a"], 0)
    cluster.advance(1.1)
    assert leader.happened(events.TransferEnded) == 1
    leader.core.propose([b"a"], 0)


def test_3_10_the_lease_ends_with_the_transfer_and_stays_ended_once_the_target_was_asked() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.2)
    assert leader.core.lease_holds(cluster.now)
    leader.core.transfer(cluster["n3"].id, cluster.now)
    assert not leader.core.lease_holds(cluster.now)
    leader.pump()
    cluster.deliver(drop=[messages.TimeoutNow])
    cluster.advance(1.1)
    assert leader.core.transfer_target is None
    assert not leader.core.lease_holds(cluster.now)


def test_3_10_a_transfer_needs_another_voter() -> None:
    cluster = Cluster(1)
    leader = cluster.elect("n1")
    with pytest.raises(Conflict, match="no other voter"):
        leader.core.transfer(None, cluster.now)
    with pytest.raises(NotFound):
        leader.core.transfer(stranger(), cluster.now)


# -- chapter 4: membership -----------------------------------------------------------------------------------------------


def learner(name: str) -> Member:
    return Member(PeerId(name, f"store-{name}"), Suffrage.LEARNER, name)


def change(server: Server, action: ChangeAction, member: Member) -> int:
    index = server.core.change_membership(action, member, 1, server.cluster.now)
    server.pump()
    return index


def test_4_1_a_configuration_counts_as_soon_as_it_is_in_the_log() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    change(leader, ChangeAction.REMOVE, Member(cluster["n3"].id, Suffrage.VOTER))
    assert leader.core.configuration.voters == {cluster["n1"].id, cluster["n2"].id}
    cluster["n2"].disk = False
    cluster.deliver()
    assert leader.core.commit_index < leader.core.history.latest_index


def test_4_1_one_change_at_a_time() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    change(leader, ChangeAction.ADD_LEARNER, learner("n4"))
    with pytest.raises(Conflict, match="another membership change"):
        change(leader, ChangeAction.ADD_LEARNER, learner("n5"))
    cluster.deliver()
    change(leader, ChangeAction.ADD_LEARNER, learner("n5"))


def test_4_1_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    elect_silently(cluster, server)
    with pytest.raises(Conflict, match="no entry of this term"):
        change(server, ChangeAction.ADD_LEARNER, learner("n4"))


def test_4_1_a_replaced_configuration_entry_brings_the_one_before_back() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.cut = {"n2", "n3"}
    change(leader, ChangeAction.REMOVE, Member(cluster["n3"].id, Suffrage.VOTER))
    cluster.cut = {"n1"}
    cluster.elect("n2")
    cluster.cut = set()
    cluster.advance(0.5)
    assert len(leader.core.configuration.voters) == 3


def test_4_2_1_a_learner_receives_the_log_and_counts_for_nothing() -> None:
    cluster = Cluster(1)
    leader = cluster.elect("n1")
    new = add_server(cluster, "n4")
    change(leader, ChangeAction.ADD_LEARNER, Member(new.id, Suffrage.LEARNER, "n4"))
    new.disk = False
    index = leader.propose(b"a")
    assert leader.core.commit_index == index
    new.disk = True
    cluster.advance(0.5)
    assert new.core.log.last_index == index
    assert new.core.cluster_id == CLUSTER
    cluster.cut = {"n1"}
    cluster.advance(10)
    assert new.core.role is Role.FOLLOWER


def add_server(cluster: Cluster, name: str) -> Server:
    server = Server(cluster, name)
    cluster.servers[name] = server
    server.pump()
    return server


def test_4_2_1_a_learner_is_promoted_only_when_it_follows() -> None:
    cluster = Cluster(1)
    leader = cluster.elect("n1")
    new = add_server(cluster, "n4")
    member = Member(new.id, Suffrage.LEARNER, "n4")
    cluster.cut = {"n4"}
    change(leader, ChangeAction.ADD_LEARNER, member)
    with pytest.raises(Conflict, match="not caught up"):
        change(leader, ChangeAction.PROMOTE, member)
    cluster.cut = set()
    cluster.advance(0.5)
    change(leader, ChangeAction.PROMOTE, member)
    cluster.deliver()
    assert leader.core.configuration.voters == {leader.id, new.id}
    assert new.core.configuration == leader.core.configuration


def test_4_2_2_a_leader_that_removes_itself_leads_until_that_is_committed() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    index = change(leader, ChangeAction.REMOVE, Member(leader.id, Suffrage.VOTER))
    assert leader.core.role is Role.LEADER
    cluster["n2"].disk = False
    cluster.deliver()
    assert leader.core.commit_index < index, "its own copy does not count"
    cluster["n2"].disk = True
    cluster["n2"].pump()
    cluster.deliver()
    assert leader.core.commit_index == index
    assert leader.core.role is Role.FOLLOWER
    cluster.advance(5)
    assert leader.core.role is Role.FOLLOWER
    assert leader.core.is_removed()
    assert Role.LEADER in {cluster[name].core.role for name in ("n2", "n3")}


def test_4_2_2_a_removed_server_learns_of_it_and_does_not_stand() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    change(leader, ChangeAction.REMOVE, Member(cluster["n3"].id, Suffrage.VOTER))
    cluster.deliver()
    assert cluster["n3"].core.is_removed()
    assert cluster["n3"].id not in leader.core.progress
    cluster.advance(5)
    assert cluster["n3"].core.role is Role.FOLLOWER


def test_4_2_3_a_server_that_hears_its_leader_neither_votes_nor_takes_up_the_term() -> None:
    cluster = Cluster(3)
    cluster.elect("n1")
    follower = cluster["n2"]
    ask_vote(follower, stranger(), term=50)
    assert voted(follower) == []
    assert follower.core.term == 2
    ask_vote(follower, stranger(), term=50, leadership_transfer=True)
    assert [response.granted for response in voted(follower)] == [True]


def test_4_2_3_a_leader_that_is_asked_for_its_vote_stays_in_office() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    for pre_vote in (True, False):
        ask_vote(leader, stranger(), term=50, pre_vote=pre_vote)
    assert (leader.core.role, leader.core.term) == (Role.LEADER, 2)
    assert not any(response.granted for response in voted(leader))


def test_4_4_bootstrap_is_for_an_empty_store_only() -> None:
    cluster = Cluster(1)
    with pytest.raises(Conflict, match="not empty"):
        cluster["n1"].core.bootstrap(cluster["n1"].core.configuration)


def test_a_new_store_under_an_old_node_is_another_member_and_votes_only_when_the_old_one_is_removed() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    old = cluster["n3"].id
    wiped = add_server(cluster, "n3")
    assert wiped.id.node_id == old.node_id
    cluster.queue.append(messages.VoteRequest(CLUSTER, leader.id, old, 9, last_index=99, last_term=99))
    cluster.deliver()
    assert wiped.core.term == 0
    assert wiped.core.dropped >= 1
    member = Member(wiped.id, Suffrage.LEARNER, "n3")
    change(leader, ChangeAction.ADD_LEARNER, member)
    cluster.advance(0.5)
    with pytest.raises(Conflict, match="remove that first"):
        change(leader, ChangeAction.PROMOTE, member)
    change(leader, ChangeAction.REMOVE, Member(old, Suffrage.VOTER))
    cluster.advance(0.5)
    change(leader, ChangeAction.PROMOTE, member)
    cluster.deliver()
    assert wiped.id in leader.core.configuration.voters


def test_a_message_of_another_cluster_is_counted_and_ignored() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    before = server.core.term
    server.core.step(messages.TimeoutNow("other", cluster["n2"].id, server.id, 9), cluster.now)
    assert (server.core.term, server.core.dropped) == (before, 1)


def test_a_message_for_a_store_that_is_gone_is_counted_and_ignored() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    before = server.core.term
    former = PeerId("n1", "the store that was there before")
    server.core.step(messages.TimeoutNow(CLUSTER, cluster["n2"].id, former, 9), cluster.now)
    assert (server.core.term, server.core.dropped) == (before, 1)


def test_an_append_whose_entries_do_not_follow_each_other_is_counted_and_ignored() -> None:
    cluster = Cluster(3)
    append(cluster, "n2", term=2, entries=[(2, 2), (4, 2)])
    append(cluster, "n2", term=2, entries=[(3, 2)])
    assert cluster["n1"].core.dropped == 2
    assert cluster["n1"].core.log.last_index == 1


# -- chapter 5: snapshots ------------------------------------------------------------------------------------------------


def compacted(cluster: Cluster, leader: Server, lagging: str) -> None:
    """Commits entries that ``lagging`` does not get, and cuts them from the leader's log."""
    cluster.cut = {lagging}
    for number in range(20):
        leader.propose(b"%d" % number)
        cluster.deliver()
    leader.core.snapshot_saved(leader.core.describe_snapshot(leader.core.commit_index, "s"))
    leader.pump()
    cluster.cut = set()


def install(leader: Server, to: Server) -> None:
    meta = leader.core.snapshot
    assert meta is not None
    to.core.step(messages.SnapshotInstalled(CLUSTER, leader.id, to.id, leader.core.term, meta=meta), to.cluster.now)
    to.pump()


def test_5_1_a_follower_whose_next_entry_is_gone_gets_a_snapshot_then_the_rest() -> None:
    cluster = Cluster(3, Options(trailing_logs=2))
    leader = cluster.elect("n1")
    compacted(cluster, leader, "n3")
    leader.propose(b"after")
    cluster.advance(0.3)
    assert leader.snapshots == [cluster["n3"].id]
    assert leader.core.progress[cluster["n3"].id].state is PeerState.SNAPSHOT
    install(leader, cluster["n3"])
    cluster.advance(0.3)
    follower = cluster["n3"].core
    assert follower.log.last_index == leader.core.log.last_index
    assert follower.configuration == leader.core.configuration
    assert follower.commit_index == leader.core.commit_index


def test_a_turn_ends_when_the_place_that_a_peer_has_reached_was_cut_from_the_log() -> None:
    cluster = Cluster(3, Options(trailing_logs=2))
    leader = cluster.elect("n1")
    compacted(cluster, leader, "n3")
    progress = leader.core.progress[cluster["n3"].id]
    progress.sent_commit = progress.match_index - 1
    assert progress.match_index < leader.core.log.base_index
    leader.pump()


def test_a_pipeline_whose_end_was_cut_from_the_log_gives_way_to_a_snapshot() -> None:
    cluster = Cluster(3, Options(trailing_logs=2, max_inflight=4))
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    compacted(cluster, leader, "n3")
    assert leader.core.progress[cluster["n3"].id].next_index < leader.core.log.base_index
    cluster.advance(0.5)
    assert leader.snapshots == [cluster["n3"].id]


def test_5_1_a_restored_log_survives_a_restart() -> None:
    cluster = Cluster(3, Options(trailing_logs=2))
    leader = cluster.elect("n1")
    compacted(cluster, leader, "n3")
    cluster.advance(0.3)
    install(leader, cluster["n3"])
    cluster["n3"].start()
    core = cluster["n3"].core
    assert core.log.base_index == core.commit_index == leader.core.commit_index
    assert core.configuration == leader.core.configuration


def test_5_1_a_snapshot_that_did_not_arrive_is_sent_again_at_the_next_sign_of_life() -> None:
    cluster = Cluster(3, Options(trailing_logs=2))
    leader = cluster.elect("n1")
    compacted(cluster, leader, "n3")
    cluster.advance(0.3)
    leader.core.snapshot_sent(cluster["n3"].id, delivered=False)
    leader.pump()
    assert len(leader.snapshots) == 1
    cluster.advance(0.3)
    assert len(leader.snapshots) == 2


def test_5_3_a_snapshot_that_the_log_already_covers_replaces_nothing() -> None:
    cluster = Cluster(3, Options(trailing_logs=2))
    leader = cluster.elect("n1")
    leader.propose(b"a", b"b")
    cluster.deliver()
    leader.core.snapshot_saved(leader.core.describe_snapshot(3, "s"))
    before = cluster["n2"].terms()
    install(leader, cluster["n2"])
    assert cluster["n2"].terms() == before


def snapshot_of(cluster: Cluster, index: int, term: int) -> SnapshotMeta:
    configuration = cluster["n1"].core.configuration.encode()
    return SnapshotMeta("s", CLUSTER, index, term, 0, configuration, 1)


def test_5_3_a_snapshot_keeps_what_follows_it_in_a_log_that_has_its_last_entry() -> None:
    cluster = Cluster(3)
    follower = cluster["n2"]
    give_log(follower, [1, 3, 3, 3, 3])
    meta = messages.SnapshotInstalled(CLUSTER, cluster["n1"].id, follower.id, 8, meta=snapshot_of(cluster, index=3, term=3))
    follower.core.step(meta, cluster.now)
    follower.pump()
    assert follower.core.commit_index == 3
    assert follower.terms() == [1, 3, 3, 3, 3]


def test_a_snapshot_carries_the_configuration_of_its_last_entry() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    before = leader.core.commit_index
    change(leader, ChangeAction.REMOVE, Member(cluster["n3"].id, Suffrage.VOTER))
    cluster.deliver()
    early = leader.core.describe_snapshot(before, "a")
    late = leader.core.describe_snapshot(leader.core.commit_index, "b")
    assert [len(decode_configuration(meta.configuration).voters) for meta in (early, late)] == [3, 2]


# -- 6.2, 6.4: clients -----------------------------------------------------------------------------------------------------


def test_6_2_a_leader_that_no_quorum_answers_steps_down() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.5)
    cluster.cut = {"n2", "n3"}
    cluster.advance(1.2)
    assert leader.core.role is Role.FOLLOWER


def test_6_4_a_leader_answers_reads_only_after_an_entry_of_its_own_term_is_committed() -> None:
    cluster = Cluster(3)
    server = cluster["n1"]
    elect_silently(cluster, server)
    server.read(ReadMode.LEASE, 1)
    server.read(ReadMode.QUORUM, 2)
    assert server.reads == []
    cluster.advance(0.5)
    assert [result.context for result in server.reads] == [1, 2]
    assert min(result.index for result in server.reads) >= server.core.history.latest_index + 1


def test_6_4_a_quorum_read_waits_for_a_round_that_was_sent_after_it_came() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    leader.read(ReadMode.QUORUM, 1)
    first = list(cluster.queue)
    cluster.queue.clear()
    leader.read(ReadMode.QUORUM, 2)
    assert not cluster.queue, "one round is under way: the second read waits for the next"
    cluster.queue.extend(first)
    for message in first:
        cluster.servers[message.to.node_id].core.step(message, cluster.now)
        cluster.servers[message.to.node_id].pump()
    cluster.queue = type(cluster.queue)(m for m in cluster.queue if m not in first)
    answers = list(cluster.queue)
    cluster.queue.clear()
    leader.core.step(answers[0], cluster.now)
    leader.pump()
    assert [result.context for result in leader.reads] == [1]
    cluster.deliver()
    assert [result.context for result in leader.reads] == [1, 2]


@pytest.mark.parametrize(("servers", "asked"), [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_6_4_a_round_for_reads_is_sent_to_no_more_than_have_to_answer_it(servers: int, asked: int) -> None:
    cluster = Cluster(servers)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    leader.read(ReadMode.QUORUM, 1)
    assert len({message.to for message in cluster.queue}) == len(cluster.queue) == asked
    cluster.deliver()
    assert [result.context for result in leader.reads] == [1]


def test_6_4_where_one_that_was_asked_does_not_answer_everybody_is_asked_soon_and_it_is_the_last_to_be_asked_again() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    leader.read(ReadMode.QUORUM, 1)
    (asked,) = {message.to.node_id for message in cluster.queue}
    cluster.cut = {asked}
    cluster.advance(READ_PATIENCE_S * 2)
    assert [result.context for result in leader.reads] == [1]
    leader.read(ReadMode.QUORUM, 2)
    assert asked not in {message.to.node_id for message in cluster.queue}
    cluster.deliver()
    assert [result.context for result in leader.reads] == [1, 2]


def test_6_4_who_was_asked_for_reads_and_answered_is_asked_again_and_nobody_is_asked_for_nothing() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    asked = set()
    for number in range(1, 6):
        leader.read(ReadMode.QUORUM, number)
        asked |= {message.to for message in cluster.queue}
        cluster.advance(0.02)
        for peer, progress in leader.core.progress.items():
            progress.answer_s = 0.003 if peer in asked else 0.002
    assert len(asked) == 1
    leader.read(ReadMode.QUORUM, 6)
    cluster.deliver()
    cluster.delivered.clear()
    cluster.advance(leader.core.heartbeat_at - cluster.now - 0.021)
    assert cluster.delivered == []


def test_6_4_rounds_for_reads_put_off_no_heartbeat_of_those_who_are_not_asked() -> None:
    cluster = Cluster(5)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    for number in range(1, 150):
        leader.read(ReadMode.QUORUM, number)
        cluster.deliver()
        cluster.advance(0.02)
    assert leader.core.role is Role.LEADER
    assert all(server.happened(events.BecameCandidate) == 0 for server in cluster.servers.values() if server is not leader)
    assert len(leader.reads) == 149


def test_6_4_a_read_is_not_answered_by_a_leader_that_was_replaced() -> None:
    cluster = Cluster(3)
    old = cluster.elect("n1")
    cluster.advance(0.3)
    cluster.cut = {"n1"}
    new = cluster.elect("n2")
    new.propose(b"a")
    cluster.deliver()
    old.read(ReadMode.QUORUM, 1)
    old.read(ReadMode.LEASE, 2)
    assert old.reads == []
    cluster.cut = set()
    cluster.advance(0.5)
    assert [result.index for result in old.reads] == [0, 0]


def test_6_4_a_follower_asks_its_leader_and_answers_itself() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    index = leader.propose(b"a")
    cluster.deliver()
    cluster["n2"].read(ReadMode.LEASE, 7)
    cluster["n2"].read(ReadMode.QUORUM, 8)
    cluster.deliver()
    assert [(result.context, result.index) for result in cluster["n2"].reads] == [(7, index), (8, index)]


def test_6_4_1_the_lease_runs_from_the_send_time_for_nine_tenths_of_the_promise() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.5)
    cluster.queue.clear()
    sent_at = cluster.now
    leader.core._heartbeat_due = True
    leader.pump()
    cluster.now += 0.5
    cluster.deliver()
    assert leader.core.lease_holds(sent_at + 0.9 - 0.01)
    assert not leader.core.lease_holds(sent_at + 0.9)


def test_6_4_1_a_read_is_answered_at_once_while_the_lease_holds_and_by_nobody_else() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.5)
    assert leader.core.read_at_once(ReadMode.LEASE, cluster.now) == leader.core.commit_index > 0
    assert leader.core.read_at_once(ReadMode.QUORUM, cluster.now) == 0
    assert cluster["n2"].core.read_at_once(ReadMode.LEASE, cluster.now) == 0
    assert leader.core.read_at_once(ReadMode.LEASE, cluster.now + TIMING.heartbeat_timeout_s) == 0
    leader.core.transfer(cluster["n3"].id, cluster.now)
    assert leader.core.read_at_once(ReadMode.LEASE, cluster.now) == 0


def test_6_4_1_a_new_leader_answers_no_read_at_once_before_an_entry_of_its_term_is_committed() -> None:
    cluster = Cluster(1)
    server = cluster["n1"]
    server.disk = False
    cluster.advance(0.02)
    server.sync()  # its own vote, not yet the entry with which it begins
    server.pump()
    assert server.core.role is Role.LEADER
    assert server.core.read_at_once(ReadMode.QUORUM, cluster.now) == 0
    server.disk = True
    server.pump()
    cluster.advance(0.02)
    assert server.core.read_at_once(ReadMode.QUORUM, cluster.now) == server.core.commit_index > 0


def test_6_4_1_no_lease_is_given_on_a_promise_that_is_not_on_disk() -> None:
    cluster = Cluster(3)
    new = cluster.servers["n4"] = Server(cluster, "n4")
    new.disk = False
    new.pump()
    new.core.step(
        messages.AppendRequest(CLUSTER, cluster["n1"].id, new.id, 2, round=1, previous_index=0, previous_term=0, commit_index=0),
        cluster.now,
    )
    new.pump()
    (answer,) = [m for m in cluster.queue if isinstance(m, messages.AppendResponse)]
    assert answer.promise_s == 0.0


def test_6_4_1_a_restarted_server_grants_no_vote_for_the_longest_time_it_may_have_promised() -> None:
    cluster = Cluster(3)
    cluster.elect("n1")
    follower = cluster["n2"]
    follower.start()
    cluster.now += 0.99
    ask_vote(follower, cluster["n3"].id, term=50)
    ask_vote(follower, cluster["n3"].id, term=50, pre_vote=True)
    assert [response.granted for response in voted(follower)] == [False]
    cluster.now += 0.02
    ask_vote(follower, cluster["n3"].id, term=50)
    assert [response.granted for response in voted(follower)] == [False, True]


def test_6_4_1_nor_does_it_stand_and_vote_for_itself() -> None:
    """What it promised may be longer than its timeouts are now."""
    cluster = Cluster(3)
    cluster.elect("n1")
    follower = cluster["n2"]
    state = msgspec.structs.replace(follower.store.recover().hard_state, promise_s=5.0)
    follower.store.perform([Write(1, state)])
    follower.start()
    assert follower.core.deadline >= cluster.now + 5.0


def test_6_4_1_a_sole_voter_stands_at_once_when_it_begins_and_when_it_returns() -> None:
    cluster = Cluster(1)
    server = cluster["n1"]
    for term in (2, 3, 4):
        assert server.core.deadline <= cluster.now
        cluster.advance(0.02)
        assert (server.core.role, server.core.term) == (Role.LEADER, term)
        server.start()


def test_6_4_1_a_sole_voter_keeps_its_promise_while_the_leader_that_made_it_so_may_still_be_in_office() -> None:
    """The leader of two removes itself. It may rely on the follower's promise until it learns that this is committed."""
    cluster = Cluster(2)
    leader, last = cluster.elect("n1"), cluster["n2"]
    cluster.advance(0.2)
    change(leader, ChangeAction.REMOVE, Member(leader.id, Suffrage.VOTER))
    cluster.deliver(drop=[messages.AppendResponse])
    last.start()
    assert last.core.configuration.voters == {last.id}
    until = cluster.now + TIMING.heartbeat_timeout_s
    while cluster.now < until - 0.03:
        cluster.advance(0.02, deliver=False)
        assert not (leader.core.lease_holds(cluster.now) and last.core.role is Role.LEADER)
    assert last.core.role is Role.FOLLOWER
    cluster.advance(TIMING.heartbeat_timeout_s * 2, deliver=False)
    assert last.core.role is Role.LEADER


def test_6_4_1_the_last_voter_stands_at_once_when_it_knows_that_it_is_the_last() -> None:
    cluster = Cluster(2)
    leader, last = cluster.elect("n1"), cluster["n2"]
    change(leader, ChangeAction.REMOVE, Member(leader.id, Suffrage.VOTER))
    cluster.deliver()
    cluster.elect("n2")
    last.propose(b"so that the commit index is written")
    last.start()
    assert last.core.deadline <= cluster.now


# -- 9.6: pre-vote ---------------------------------------------------------------------------------------------------------


def test_9_6_a_server_that_was_cut_off_does_not_raise_its_term_nor_disturb_the_leader() -> None:
    cluster = Cluster(3)
    cluster.elect("n1")
    cluster.cut = {"n3"}
    for _ in range(10):
        cluster.now += 2
        cluster["n3"].core.tick(cluster.now)
        cluster["n3"].pump()
    assert cluster["n3"].core.term == 2
    assert cluster["n3"].core.role is Role.PRE_CANDIDATE


def test_9_6_a_pre_vote_changes_nothing_at_the_voter() -> None:
    cluster = Cluster(3)
    cluster.now += 1.0
    server = cluster["n1"]
    deadline = server.core.deadline
    ask_vote(server, stranger(), term=2, pre_vote=True)
    assert [response.granted for response in voted(server)] == [True]
    assert (server.core.term, server.core.vote, server.core.deadline) == (1, None, deadline)


# -- 10.2: pipelining and flow control ------------------------------------------------------------------------------------


def test_10_2_1_appends_are_pipelined_up_to_a_window() -> None:
    cluster = Cluster(3, Options(max_inflight=4, max_append_entries=1))
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    for number in range(10):
        leader.propose(b"%d" % number)
    assert [len(append.entries) for append in appends_to(cluster, "n2")] == [1, 1, 1, 1]
    cluster.deliver()
    assert leader.core.commit_index == leader.core.log.last_index


def test_10_2_1_appends_that_are_not_full_wait_for_an_acknowledgement_when_enough_are_under_way() -> None:
    cluster = Cluster(3, Options(max_inflight_partial=2, max_append_entries=5))
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    for number in range(6):
        leader.propose(b"%d" % number)
    assert [len(append.entries) for append in appends_to(cluster, "n2")] == [1, 1]
    leader.propose(b"fills an append")
    assert [len(append.entries) for append in appends_to(cluster, "n2")] == [1, 1, 5]
    cluster.deliver()
    assert leader.core.commit_index == leader.core.log.last_index


def appends_to(cluster: Cluster, name: str) -> list[messages.AppendRequest]:
    return [m for m in cluster.queue if isinstance(m, messages.AppendRequest) and m.entries and m.to == cluster[name].id]


def test_10_2_1_word_of_the_commit_index_is_not_answered() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    index = leader.propose(b"a")
    cluster.deliver(drop=[messages.AppendResponse])
    cluster["n2"].core.step(
        messages.AppendRequest(CLUSTER, leader.id, cluster["n2"].id, leader.core.term, messages.NO_ANSWER, index, leader.core.term, index),
        cluster.now,
    )
    cluster["n2"].pump()
    assert cluster["n2"].core.commit_index == index
    assert not cluster.queue


def test_10_2_1_a_lost_append_in_a_pipeline_is_found_and_repeated() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    for number in range(5):
        leader.propose(b"%d" % number)
        if number in (1, 4):
            cluster.queue.clear()
        cluster.deliver()
    cluster.advance(0.5)
    assert {server.core.log.last_index for server in cluster.servers.values()} == {leader.core.log.last_index}


def test_10_2_1_after_a_broken_connection_the_pipeline_opens_again_though_nothing_is_written() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    peer = cluster["n2"].id
    leader.core.unreachable(peer)
    assert leader.core.progress[peer].state is PeerState.PROBE
    cluster.advance(0.5)
    assert leader.core.progress[peer].state is PeerState.REPLICATE


def test_10_2_1_a_large_log_is_sent_in_appends_of_bounded_size() -> None:
    cluster = Cluster(3, Options(max_append_bytes=1000))
    leader = cluster.elect("n1")
    cluster.advance(0.3)
    leader.propose(*[bytes(100)] * 50)
    largest = max(len(m.entries) for m in cluster.queue if isinstance(m, messages.AppendRequest))
    assert largest <= 10


def test_a_leader_whose_disk_or_quorum_does_not_keep_up_refuses_proposals() -> None:
    cluster = Cluster(3, Options(max_uncommitted_bytes=1000, max_unstable_bytes=10_000))
    leader = cluster.elect("n1")
    cluster.cut = {"n2", "n3"}
    leader.propose(bytes(2000))
    with pytest.raises(Busy, match="quorum"):
        leader.propose(b"x")


def test_timestamps_never_fall_even_when_the_wall_clock_does() -> None:
    cluster = Cluster(3)
    leader = cluster.elect("n1")
    for wall in (500, 100, 700):
        leader.core.propose([b"x"], wall)
    assert [entry.time_ns for entry in leader.core.log.slice(3, 6)] == [500, 500, 700]
