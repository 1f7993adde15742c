"""Joining and leaving, servers and their log, gossip."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing

WORKS, HARMLESS, REFUSED = Standing.WORKS, Standing.HARMLESS, Standing.REFUSED
STRING, BOOL, INT, DURATION, HOSTS = Kind.STRING, Kind.BOOL, Kind.INT, Kind.DURATION, Kind.HOSTS

EIGHT_HOURS = 8 * 3600.0
ENTERPRISE = "an enterprise feature of Consul"

JOIN = (
    Key(WORKS, "retry_join", HOSTS, (), "Address of a member to join, tried until it answers; repeatable.",
        flags=("retry-join",), field="join.retry_join"),
    Key(WORKS, "retry_interval", DURATION, 30.0, "Time between tries to join.", flags=("retry-interval",), field="join.retry_interval_s"),
    Key(WORKS, "retry_max", INT, 0, "Tries to join before the agent gives up; 0 for no end.", flags=("retry-max",),
        field="join.retry_max", minimum=0),
    Key(WORKS, "retry_join_wan", HOSTS, (), "Address of a WAN member to join, tried until it answers; repeatable.",
        flags=("retry-join-wan",), field="join.retry_join_wan"),
    Key(WORKS, "retry_interval_wan", DURATION, 30.0, "Time between tries to join WAN members.", flags=("retry-interval-wan",),
        field="join.retry_interval_wan_s"),
    Key(WORKS, "retry_max_wan", INT, 0, "Tries to join WAN members before the agent gives up; 0 for no end.",
        flags=("retry-max-wan",), field="join.retry_max_wan", minimum=0),
    Key(WORKS, "start_join", HOSTS, (), "Address of a member to join at the start, tried once; repeatable.", flags=("join",),
        field="join.start_join", deprecated="-retry-join"),
    Key(WORKS, "start_join_wan", HOSTS, (), "Address of a WAN member to join at the start, tried once; repeatable.",
        flags=("join-wan",), field="join.start_join_wan", deprecated="-retry-join-wan"),
    Key(WORKS, "rejoin_after_leave", BOOL, False, "Join the known members again although this node left.", flags=("rejoin",),
        field="join.rejoin_after_leave"),
    Key(WORKS, "leave_on_terminate", BOOL, None, "Leave on SIGTERM; by default a client leaves and a server only stops.",
        field="join.leave_on_terminate"),
    Key(WORKS, "skip_leave_on_interrupt", BOOL, False, "Only stop on SIGINT.", field="join.skip_leave_on_interrupt",
        why="Ctrl-C leaves, on a server too: a node that is stopped by hand is meant to go"),
    Key(WORKS, "reconnect_timeout", DURATION, 72 * 3600.0, "Time after which a failed member is forgotten; at least 8h.",
        field="join.reconnect_timeout_s", minimum=EIGHT_HOURS),
    Key(WORKS, "reconnect_timeout_wan", DURATION, 72 * 3600.0, "The same for WAN members.", field="join.reconnect_timeout_wan_s",
        minimum=EIGHT_HOURS),
    Key(WORKS, "advertise_reconnect_timeout", DURATION, 0.0, "Asks the other members to forget this one after this time, once it failed.",
        field="join.advertise_reconnect_timeout_s"),
)  # fmt: skip

SERVER = (
    Key(WORKS, "server", BOOL, False, "This node is a server: it keeps the log and the catalog.", flags=("server",),
        field="server.enabled", dev=True),
    Key(WORKS, "bootstrap", BOOL, False, "This server may elect itself: for the first of a cluster, or the only one.",
        flags=("bootstrap",), field="server.bootstrap"),
    Key(WORKS, "bootstrap_expect", INT, 0, "Number of servers to wait for before the first election.", flags=("bootstrap-expect",),
        field="server.bootstrap_expect", minimum=0),
    Key(WORKS, "data_dir", STRING, "", "Folder for everything that is kept, and for the sockets between roles.", flags=("data-dir",),
        field="server.data_dir"),
    Key(WORKS, "performance.raft_multiplier", INT, 5, "Raft's time-outs are multiplied by this, 1 to 10.",
        field="server.raft_multiplier", dev=1, minimum=1, maximum=10),
    Key(WORKS, "performance.leave_drain_time", DURATION, 5.0, "Time for which a leaving server still forwards.",
        field="server.leave_drain_time_s"),
    Key(WORKS, "performance.rpc_hold_timeout", DURATION, 7.0, "Time for which a request waits for a leader.",
        field="server.rpc_hold_timeout_s"),
    Key(HARMLESS, "raft_protocol", INT, 3, "Version of Raft's protocol.", flags=("raft-protocol",), note="there is only one"),
    Key(WORKS, "raft_snapshot_threshold", INT, 16384, "Log entries between snapshots.", field="server.raft_snapshot_threshold",
        minimum=0),
    Key(WORKS, "raft_snapshot_interval", DURATION, 30.0, "Time between looks whether a snapshot is due.",
        field="server.raft_snapshot_interval_s"),
    Key(WORKS, "raft_trailing_logs", INT, 10240, "Log entries kept after a snapshot.", field="server.raft_trailing_logs", minimum=0),
    Key(HARMLESS, "raft_logstore", Kind.TABLE, None, "The kind of log store.", note="the log is kept in LMDB"),
    Key(HARMLESS, "raft_boltdb", Kind.TABLE, None, "Settings of Consul's log store.", note="the log is kept in LMDB"),
    Key(HARMLESS, "server_rejoin_age_max", DURATION, 168 * 3600.0, "How long a server may have been away.",
        note="no server is refused for its age"),
    Key(WORKS, "autopilot.cleanup_dead_servers", BOOL, True, "Remove dead servers.", field="autopilot.cleanup_dead_servers"),
    Key(WORKS, "autopilot.last_contact_threshold", DURATION, 0.2, "Silence after which a server is not healthy.",
        field="autopilot.last_contact_threshold_s"),
    Key(WORKS, "autopilot.max_trailing_logs", INT, 250, "Entries a healthy server may lag.", field="autopilot.max_trailing_logs",
        minimum=0),
    Key(WORKS, "autopilot.min_quorum", INT, 0, "Servers that are never removed.", field="autopilot.min_quorum", minimum=0),
    Key(WORKS, "autopilot.server_stabilization_time", DURATION, 10.0, "Time a new server must be healthy before it votes.",
        field="autopilot.server_stabilization_time_s"),
    Key(REFUSED, "autopilot.redundancy_zone_tag", STRING, "", "Metadata that names a server's zone.", note=ENTERPRISE),
    Key(REFUSED, "autopilot.disable_upgrade_migration", BOOL, False, "No migration on upgrades.", note=ENTERPRISE),
    Key(REFUSED, "autopilot.upgrade_version_tag", STRING, "", "Metadata that names a server's version.", note=ENTERPRISE),
    Key(REFUSED, "non_voting_server", BOOL, False, "This server has no vote.", flags=("non-voting-server",), note=ENTERPRISE),
    Key(REFUSED, "read_replica", BOOL, False, "This server has no vote.", flags=("read-replica",), note=ENTERPRISE),
    Key(HARMLESS, "protocol", INT, 2, "Version of Consul's protocol.", flags=("protocol",), note="versions are agreed on, not set"),
    Key(REFUSED, "segment", STRING, "", "Network segment to join.", flags=("segment",), note=ENTERPRISE),
    Key(REFUSED, "segments", Kind.LIST, (), "Network segments.", note=ENTERPRISE),
    Key(REFUSED, "partition", STRING, "", "Admin partition.", flags=("partition",), note=ENTERPRISE),
    Key(REFUSED, "license_path", STRING, "", "Licence file.", note=ENTERPRISE),
    Key(REFUSED, "audit", Kind.TABLE, None, "Audit log.", note=ENTERPRISE),
    Key(REFUSED, "reporting", Kind.TABLE, None, "Licence reports.", note=ENTERPRISE),
    Key(REFUSED, "cloud", Kind.TABLE, None, "Link to a hosted service.", note=ENTERPRISE),
    Key(REFUSED, "experiments", Kind.LIST, (), "Experimental features of Consul."),
)  # fmt: skip


def _timing(pool: str, *, interval: float, nodes: int, probe: float, timeout: float, suspicion: int) -> tuple[Key, ...]:
    """The timing of one pool, after SWIM and Lifeguard; ``-dev`` finds failures in a fraction of the time."""
    group, field = f"gossip_{pool}", f"gossip.{pool}"
    return (
        Key(WORKS, f"{group}.gossip_interval", DURATION, interval, "Time between rounds of gossip.", field=f"{field}.gossip_interval_s",
            dev=0.1, minimum=0.001),
        Key(WORKS, f"{group}.gossip_nodes", INT, nodes, "Members that each round goes to.", field=f"{field}.gossip_nodes", minimum=0),
        Key(WORKS, f"{group}.probe_interval", DURATION, probe, "Time between probes.", field=f"{field}.probe_interval_s", dev=0.1,
            minimum=0.001),
        Key(WORKS, f"{group}.probe_timeout", DURATION, timeout, "Time to wait for an ack before indirect probes.",
            field=f"{field}.probe_timeout_s", dev=0.1, minimum=0.001),
        Key(WORKS, f"{group}.retransmit_mult", INT, 4, "A message is sent this many times log(members).",
            field=f"{field}.retransmit_mult", minimum=0),
        Key(WORKS, f"{group}.suspicion_mult", INT, suspicion, "A suspect has this many times log(members) probes to refute.",
            field=f"{field}.suspicion_mult", dev=3, minimum=1),
    )  # fmt: skip


GOSSIP = (
    Key(WORKS, "encrypt", Kind.GOSSIP_KEY, "", "Key that gossip is encrypted with, base64; a keyring kept in the data folder wins.",
        flags=("encrypt",), field="gossip.encrypt", secret=True),
    Key(WORKS, "encrypt_verify_incoming", BOOL, True, "Take only encrypted gossip.", field="gossip.encrypt_verify_incoming"),
    Key(WORKS, "encrypt_verify_outgoing", BOOL, True, "Send only encrypted gossip.", field="gossip.encrypt_verify_outgoing"),
    Key(WORKS, "disable_keyring_file", BOOL, False, "Do not keep the keyring in the data folder.", flags=("disable-keyring-file",),
        field="gossip.disable_keyring_file"),
    Key(WORKS, "serf_lan_allowed_cidrs", Kind.NETWORKS, (), "Networks that LAN members may come from; repeatable.",
        flags=("serf-lan-allowed-cidrs",), field="gossip.lan_allowed_cidrs"),
    Key(WORKS, "serf_wan_allowed_cidrs", Kind.NETWORKS, (), "Networks that WAN members may come from; repeatable.",
        flags=("serf-wan-allowed-cidrs",), field="gossip.wan_allowed_cidrs"),
    *_timing("lan", interval=0.2, nodes=3, probe=1.0, timeout=0.5, suspicion=4),
    *_timing("wan", interval=0.5, nodes=3, probe=5.0, timeout=3.0, suspicion=6),
)  # fmt: skip
