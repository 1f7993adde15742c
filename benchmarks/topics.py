"""What ``report.py`` runs, in order: the scripts of each topic with their arguments, at length and in brief, and which rows say most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Topic:
    """``headlines`` are the names of rows that README shows. ``full`` and ``quick`` are commands."""

    key: str
    title: str
    full: Sequence[str]
    quick: Sequence[str]
    headlines: Sequence[str]


TOPICS: Final = (
    Topic(
        "http",
        "HTTP reads",
        ["http_reads.py"],
        ["http_reads.py -pairs 5 -seconds 1 -only ^dev|client.agent:.nodes|health"],
        [
            "dev: nodes, stale, 1",
            "dev: nodes, stale, 32",
            "dev: nodes, default, 32",
            "dev: nodes, consistent, 32",
            "client agent: nodes, default, 1",
            "client agent: nodes, default, 32",
            "health of 500 instances, 50 changes/s, 32",
            "10,000 nodes, 10 changes/s, 32",
        ],
    ),
    Topic(
        "watches",
        "Watches",
        ["http_watchers.py"],
        ["http_watchers.py -rounds 2"],
        ["5000 watchers woken: last answer", "5000 watchers woken: memory of each"],
    ),
    Topic(
        "dns",
        "DNS",
        ["dns_throughput.py", "dns_freshness.py"],
        ["dns_throughput.py -pairs 3 -seconds 1", "dns_freshness.py -rounds 2 -changes 10"],
        [
            "node A",
            "service A, 20 instances",
            "service SRV, 500 instances, 50 registrations/s",
            "service A, 20 instances, via a client agent",
            "a change is in the others' answers",
        ],
    ),
    Topic(
        "writes",
        "Registrations",
        ["registrations.py"],
        ["registrations.py -rounds 2 -seconds 1"],
        [
            "development agent, catalog, 32",
            "three servers, leader, catalog, 32",
            "three servers, client, catalog, 32",
            "three servers, client, agent, 32",
        ],
    ),
    Topic(
        "log",
        "The replicated log",
        ["consensus.py"],
        ["consensus.py -only load -servers 3 -rounds 2 -seconds 1.5", "consensus.py -only failover -rounds 2"],
        [
            "3 servers, 1 in flight",
            "3 servers, 256 in flight",
            "3 servers, 256 in flight: of a bare skeleton",
            "leader's kill -9 to the next acknowledged write",
        ],
    ),
    Topic(
        "clusters",
        "Clusters: failover, detection in DNS, 10,000 nodes",
        ["clusters.py"],
        ["clusters.py -rounds 1 -rest 3"],
        [
            "client at rest, PSS",
            "check turns critical, until out of DNS",
            "leader killed, longest gap at a client",
            "10000 nodes, time",
            "10000 nodes, PSS",
        ],
    ),
    Topic(
        "detection",
        "Failure detection",
        ["gossip_detection.py"],
        ["gossip_detection.py -rounds 1"],
        ["a Serf agent dies, ours sees it", "ours dies, Serf sees it"],
    ),
    Topic(
        "start",
        "Start, memory and rest",
        ["one_node.py"],
        ["one_node.py -rounds 2 -idle 3"],
        ["first answer", "memory at rest (PSS)", "CPU at rest", "`members`"],
    ),
    Topic("snapshots", "Backup and restore", ["snapshot.py"], ["snapshot.py -nodes 500 -rounds 3"], []),
    Topic("checks", "Health checks", ["checks.py"], [], []),
    Topic("packets", "One member of a large pool", ["gossip_udp.py"], [], []),
    Topic(
        "gossip",
        "Gossip, simulated",
        ["gossip_simulation.py -members 100 300 1000 3000 10000 -crashes 3 -minutes 0.5 -no-lifeguard -seed 1"],
        ["gossip_simulation.py -members 30 100 300 -crashes 3 -minutes 0.5 -no-lifeguard -seed 1"],
        [],
    ),
    Topic(
        "raft",
        "Raft, simulated",
        ["consensus_simulation.py -seed 1"],
        ["consensus_simulation.py -voters 3 5 9 15 -crashes 5 -seed 1"],
        [],
    ),
)

CAUSES: Final = {
    r"client agent: nodes, default": "a client asks the leader over gRPC once for all reads that wait; few share what that costs",
    r"client agent: nodes, consistent": "a client asks the leader and that a quorum, one after the other; few share what that costs",
    r"^dev: nodes, \w+, 1$": "one caller at a time shares nothing: each request pays for waking up, and finds the caches cold",
    r"(nodes|health).*: p99$": "one loop serves everything; what waits behind a batch shows in the last percent",
    r"three servers|development agent": "each write passes gateway, catalog and log in Python: processor time, of which Consul needs less",
    r"in flight$": "a skeleton of gRPC and LMDB without any Raft does less than three times as much here; see docs/design/consensus.md",
    r"^service (A|SRV), 20": "dnsperf and the server share two cores, and two system calls an answer are what is left",
    r"watchers woken: last answer": "thousands of answers are written one after the other by one loop",
}
"""Why a row falls short of what is wanted, by a regular expression of its name."""
