"""Services and checks from files, DNS, queries."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing

WORKS, HARMLESS, REFUSED = Standing.WORKS, Standing.HARMLESS, Standing.REFUSED
STRING, BOOL, INT, DURATION, STRINGS = Kind.STRING, Kind.BOOL, Kind.INT, Kind.DURATION, Kind.STRINGS

OWN_CACHE = "answers always come from the agent's own view, kept fresh by the servers"
STREAMS = "watches always stream"

PRIVATE_NETWORKS = (
    "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10",
)  # fmt: skip

QUIRKS = {
    "all_critical_nxdomain": "a service whose instances are all critical does not exist.",
    "empty_names_nxdomain": "names that only have names under them, the apex among them, do not exist; nor does ns.",
    "node_nodata_without_soa": "a node without a record of the type asked is answered without SOA.",
    "apex_records_everywhere": "SOA and NS asked at any name are the apex's.",
    "address_of_any_type": "a name under addr gives its address, a reversed one its name, whatever type was asked.",
    "txt_gives_addresses": "a service asked for TXT gives its addresses.",
    "primary_domain_only": "names within answers are in the primary domain, also when the alternative one was asked.",
    "repeated_additional": "the address of a node with several instances comes once for each.",
    "unknown_reverse_servfail": "an address of nobody gives SERVFAIL, and RA is set.",
    "alias_ttl": "records that a service's CNAME leads to have the CNAME's TTL.",
    "alias_addresses": "a CNAME within the domains brings A records, whatever type was asked.",
    "lenient_questions": "other classes than IN and other EDNS versions than 0 are answered as if they were not.",
}
"""What Consul does against the RFCs; docs/differences.md says which."""

DISCOVERY = (
    Key(WORKS, "service", Kind.DEFINITIONS, (), "A service of this node.", field="discovery.services", reloadable=True),
    Key(WORKS, "services", Kind.DEFINITIONS, (), "Services of this node.", field="discovery.services", reloadable=True),
    Key(WORKS, "check", Kind.DEFINITIONS, (), "A check of this node.", field="discovery.checks", reloadable=True),
    Key(WORKS, "checks", Kind.DEFINITIONS, (), "Checks of this node.", field="discovery.checks", reloadable=True),
    Key(WORKS, "enable_script_checks", BOOL, False, "Run checks that are scripts, whoever registers them.",
        flags=("enable-script-checks",), field="discovery.enable_script_checks"),
    Key(WORKS, "enable_local_script_checks", BOOL, False, "Run checks that are scripts, from files only.",
        flags=("enable-local-script-checks",), field="discovery.enable_local_script_checks"),
    Key(WORKS, "check_update_interval", DURATION, 300.0, "Time for which a change of nothing but a check's output is held back.",
        field="discovery.check_update_interval_s"),
    Key(WORKS, "check_output_max_size", INT, 4096, "Bytes of a check's output that are kept; at most 65536.",
        flags=("check_output_max_size",), field="discovery.check_output_max_size", minimum=1),
    Key(WORKS, "discard_check_output", BOOL, False, "Keep no output of checks.", field="discovery.discard_check_output",
        reloadable=True),
    Key(HARMLESS, "discovery_max_stale", DURATION, 0.0, "Age of an answer above which a default read asks the leader.",
        note="a default read is never stale"),
    Key(REFUSED, "watches", Kind.LIST, (), "Handlers to run when something changes.", note="no handler would be run"),
    Key(REFUSED, "enable_agent_tls_for_checks", BOOL, False, "Checks use the agent's certificate.", strict=True),
)  # fmt: skip

DNS = (
    Key(WORKS, "domain", STRING, "consul.", "Domain that DNS answers for.", flags=("domain",), field="dns.domain"),
    Key(WORKS, "alt_domain", STRING, "", "Another domain that DNS answers for.", flags=("alt-domain",), field="dns.alt_domain"),
    Key(WORKS, "recursors", Kind.HOSTS, (), "DNS server for questions about other domains; repeatable.", flags=("recursor",),
        field="dns.recursors", reloadable=True),
    Key(WORKS, "dns_config.allow_stale", BOOL, True, "Answer without asking the leader.", field="dns.allow_stale", reloadable=True),
    Key(WORKS, "dns_config.max_stale", DURATION, 87600 * 3600.0, "Age of an answer above which the leader is asked.",
        field="dns.max_stale_s", reloadable=True),
    Key(WORKS, "dns_config.node_ttl", DURATION, 0.0, "TTL of answers about nodes.", field="dns.node_ttl_s", reloadable=True),
    Key(WORKS, "dns_config.service_ttl", Kind.DURATIONS, {}, "TTL of answers by service: a name, a prefix with *, or *.",
        field="dns.service_ttl_s", reloadable=True),
    Key(WORKS, "dns_config.only_passing", BOOL, False, "Leave out instances in warning.", field="dns.only_passing", reloadable=True),
    Key(WORKS, "dns_config.enable_truncate", BOOL, True, "Set TC when an answer over UDP was cut.", field="dns.enable_truncate",
        why="a client that is not told of the cut never asks again over TCP: RFC 2181, section 9", reloadable=True),
    Key(WORKS, "dns_config.udp_answer_limit", INT, 3, "Answers over UDP to a client without EDNS; 0 for no limit.",
        field="dns.udp_answer_limit", minimum=0, reloadable=True),
    Key(WORKS, "dns_config.a_record_limit", INT, 0, "A, AAAA and ANY answers on every transport; 0 for no limit.",
        field="dns.a_record_limit", minimum=0, reloadable=True),
    Key(WORKS, "dns_config.disable_compression", BOOL, False, "Write names in full.", field="dns.disable_compression",
        reloadable=True),
    Key(WORKS, "dns_config.enable_additional_node_meta_txt", BOOL, True, "Add node metadata as TXT to the answers.",
        field="dns.enable_additional_node_meta_txt", reloadable=True),
    Key(WORKS, "dns_config.nearest_first", BOOL, False, "Give the instances nearest to this agent first, by network coordinates.",
        field="dns.nearest_first", reloadable=True),
    Key(WORKS, "dns_config.soa.refresh", INT, 3600, "SOA refresh, seconds.", field="dns.soa.refresh_s", minimum=0, maximum=2**31 - 1,
        reloadable=True),
    Key(WORKS, "dns_config.soa.retry", INT, 600, "SOA retry, seconds.", field="dns.soa.retry_s", minimum=0, maximum=2**31 - 1,
        reloadable=True),
    Key(WORKS, "dns_config.soa.expire", INT, 86400, "SOA expire, seconds.", field="dns.soa.expire_s", minimum=0, maximum=2**31 - 1,
        reloadable=True),
    Key(WORKS, "dns_config.soa.min_ttl", INT, 0, "SOA minimum, seconds: how long resolvers keep a negative answer.",
        field="dns.soa.min_ttl_s", minimum=0, maximum=2**31 - 1, reloadable=True),
    Key(WORKS, "dns_config.recursor_timeout", DURATION, 2.0, "Time to wait for a recursor.", field="dns.recursor_timeout_s",
        reloadable=True),
    Key(WORKS, "dns_config.recursor_strategy", STRING, "sequential", "Order in which recursors are tried.",
        field="dns.recursor_strategy", choices=("sequential", "random"), reloadable=True),
    Key(WORKS, "dns_config.allow_recursion", Kind.NETWORKS, PRIVATE_NETWORKS, "Networks whose clients may use the recursors.",
        field="dns.allow_recursion", why="Consul asks its recursors for anybody: an open resolver", reloadable=True),
    Key(WORKS, "dns_config.edns_size_max", INT, 4096, "Bytes of an answer over UDP, whatever the client allows.",
        field="dns.edns_size_max", minimum=512, maximum=65535, reloadable=True),
    Key(WORKS, "dns_config.response_rate_limit", INT, 0, "Answers a second over UDP to one /24 or /56; 0 for no limit.",
        field="dns.response_rate_limit", minimum=0, reloadable=True),
    Key(WORKS, "dns_config.max_pending", INT, 1024, "Questions that wait for a view or a recursor at one time.",
        field="dns.max_pending", minimum=1, reloadable=True),
    Key(WORKS, "dns_config.tcp_idle_timeout", DURATION, 10.0, "A TCP connection on which nothing moves for so long is closed.",
        field="dns.tcp_idle_s", minimum=0.1, reloadable=True),
    Key(WORKS, "dns_config.max_connections", INT, 1024, "TCP connections at one time.", field="dns.max_connections", minimum=1),
    Key(WORKS, "dns_config.max_connections_per_client", INT, 128, "TCP connections of one address at one time.",
        field="dns.max_connections_per_client", minimum=1),
    Key(WORKS, "dns_config.workers", INT, 1, "Processes that answer DNS on the same port, this one among them.", field="dns.workers",
        minimum=1, maximum=64),
    Key(WORKS, "dns_config.reuse_port", BOOL, False, "Share the port with other processes that say so too (SO_REUSEPORT).",
        field="dns.reuse_port"),
    *(
        Key(WORKS, f"dns_config.compat.{quirk}", BOOL, False, f"As Consul: {text}", field=f"dns.compat.{quirk}", reloadable=True)
        for quirk, text in QUIRKS.items()
    ),
    Key(HARMLESS, "dns_config.use_cache", BOOL, False, "Answer from a cache.", note=OWN_CACHE),
    Key(HARMLESS, "dns_config.cache_max_age", DURATION, 0.0, "Age of an answer in that cache.", note=OWN_CACHE),
    Key(REFUSED, "dns_config.prefer_namespace", BOOL, False, "A bare middle label is a namespace.",
        note="an enterprise feature of Consul"),
)  # fmt: skip

QUERIES = (
    Key(WORKS, "default_query_time", DURATION, 300.0, "Time that a blocking query waits if it does not say.",
        flags=("default-query-time",), field="queries.default_query_time_s", minimum=0.001),
    Key(WORKS, "max_query_time", DURATION, 600.0, "Time that a blocking query waits at most.", flags=("max-query-time",),
        field="queries.max_query_time_s", minimum=0.001),
    Key(HARMLESS, "use_streaming_backend", BOOL, True, "Blocking queries stream.", note=STREAMS),
    Key(HARMLESS, "rpc.enable_streaming", BOOL, True, "Servers stream.", note=STREAMS),
    Key(HARMLESS, "cache.entry_fetch_rate", Kind.FLOAT, None, "Fetches per second of one cached answer.", note=OWN_CACHE),
    Key(HARMLESS, "cache.entry_fetch_max_burst", INT, 2, "Fetches at once of one cached answer.", note=OWN_CACHE),
    Key(HARMLESS, "session_ttl_min", DURATION, 10.0, "Shortest TTL of a session.", field="queries.session_ttl_min_s",
        note="there are no sessions yet"),
)  # fmt: skip
