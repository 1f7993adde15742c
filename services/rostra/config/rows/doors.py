"""Limits, HTTP, and the mesh and console that this version has not."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing

WORKS, HARMLESS, REFUSED = Standing.WORKS, Standing.HARMLESS, Standing.REFUSED
STRING, BOOL, INT, DURATION, STRINGS = Kind.STRING, Kind.BOOL, Kind.INT, Kind.DURATION, Kind.STRINGS

NO_CONSOLE = "there is no web console yet"
NO_MESH = "there is no mesh"
NO_KV = "there is no key/value store yet"
NO_RATE = "requests between agents are bounded by queues, not by rates"
NO_PHONE = "nothing is ever sent home"

LIMITS = (
    Key(WORKS, "limits.http_max_conns_per_client", INT, 200, "HTTP connections of one client address; 0 for no limit.",
        field="limits.http_max_conns_per_client", minimum=0, reloadable=True),
    Key(WORKS, "limits.https_handshake_timeout", DURATION, 5.0, "Time for a TLS handshake of HTTPS.",
        field="limits.https_handshake_timeout_s", minimum=0.1),
    Key(HARMLESS, "limits.rpc_handshake_timeout", DURATION, 5.0, "Time for a TLS handshake of the server port.",
        note="gRPC's own limit holds"),
    Key(HARMLESS, "limits.rpc_client_timeout", DURATION, 60.0, "Time for a read from a server.", note="each call has its own deadline"),
    Key(HARMLESS, "limits.rpc_rate", Kind.FLOAT, -1.0, "Requests per second to servers.", note=NO_RATE),
    Key(HARMLESS, "limits.rpc_max_burst", INT, 1000, "Requests at once to servers.", note=NO_RATE),
    Key(HARMLESS, "limits.rpc_max_conns_per_client", INT, 100, "Connections of one client to a server.", note=NO_RATE),
    Key(HARMLESS, "limits.kv_max_value_size", INT, 512 * 1024, "Bytes of a value.", field="limits.kv_max_value_size", note=NO_KV),
    Key(HARMLESS, "limits.txn_max_req_len", INT, 512 * 1024, "Bytes of a transaction.", field="limits.txn_max_req_len", note=NO_KV),
    Key(REFUSED, "limits.request_limits.mode", STRING, "disabled", "What happens above the rates.",
        choices=("disabled", "permissive", "enforcing")),
    Key(REFUSED, "limits.request_limits.read_rate", Kind.FLOAT, -1.0, "Reads per second."),
    Key(REFUSED, "limits.request_limits.write_rate", Kind.FLOAT, -1.0, "Writes per second."),
)  # fmt: skip

HTTP = (
    Key(WORKS, "http_config.block_endpoints", STRINGS, (), "Path prefixes that are answered with 403.", field="http.block_endpoints"),
    Key(WORKS, "http_config.response_headers", Kind.MAP, {}, "Headers that each answer carries.", field="http.response_headers"),
    Key(WORKS, "http_config.allow_write_http_from", Kind.NETWORKS, (), "Networks that may write; repeatable.",
        flags=("allow-write-http-from",), field="http.allow_write_http_from"),
    Key(HARMLESS, "http_config.use_cache", BOOL, True, "?cached is obeyed.", note="every read comes from the agent's own view"),
    Key(WORKS, "http_config.max_header_bytes", INT, 65536, "Bytes of a request's head.", field="http.max_header_bytes", minimum=1024,
        maximum=1 << 20, why="Consul's is Go's 1 MiB: no client of this API needs it", reloadable=True),
    Key(WORKS, "http_config.max_body_bytes", INT, 1 << 20, "Bytes of a request's body.", field="http.max_body_bytes", minimum=1024,
        maximum=1 << 26, reloadable=True),
    Key(WORKS, "http_config.header_timeout", DURATION, 10.0, "Time for the head of a request, from its first byte.",
        field="http.header_timeout_s", minimum=0.1, reloadable=True),
    Key(WORKS, "http_config.body_timeout", DURATION, 60.0, "Time for the body of a request.", field="http.body_timeout_s", minimum=0.1,
        reloadable=True),
    Key(WORKS, "http_config.idle_timeout", DURATION, 300.0, "A connection without a request is closed after so long.",
        field="http.idle_timeout_s", minimum=0.1, reloadable=True),
    Key(WORKS, "http_config.write_timeout", DURATION, 60.0, "A client that takes nothing of its answer for so long is cut off.",
        field="http.write_timeout_s", minimum=0.1, reloadable=True),
    Key(WORKS, "http_config.write_buffer_bytes", INT, 65536, "Answered bytes that a client may leave before no more of it is read.",
        field="http.write_buffer_bytes", minimum=1024, maximum=1 << 24, reloadable=True),
    Key(WORKS, "http_config.max_blocked_queries", INT, 20_000, "Blocking queries that wait at one time, of all clients.",
        field="http.max_blocked_queries", minimum=1, reloadable=True),
    Key(WORKS, "http_config.max_answer_bytes", INT, 64 << 20, "Bytes of answers kept for who asks the same again.",
        field="http.max_answer_bytes", minimum=0, reloadable=True),
    Key(WORKS, "http_config.busy_poll", DURATION, 0.00005, "Time to stay awake for a client's next request, where requests follow quickly.",
        field="http.busy_poll_s", minimum=0.0, maximum=0.01, why="waking takes longer than answering; 0 saves the processor time"),
    Key(HARMLESS, "disable_http_unprintable_char_filter", BOOL, False, "Take unprintable characters in paths.",
        note="paths are read as the client encoded them"),
    Key(HARMLESS, "enable_debug", BOOL, False, "Serve Go's profiler.", note="there is no Go profiler here"),
)  # fmt: skip

CONSOLE = (
    Key(HARMLESS, "ui_config.enabled", BOOL, False, "Serve the web console.", flags=("ui",), note=NO_CONSOLE),
    Key(HARMLESS, "ui_config.dir", STRING, "", "Folder of another web console.", flags=("ui-dir",), note=NO_CONSOLE),
    Key(HARMLESS, "ui_config.content_path", STRING, "/ui/", "Path of the web console.", flags=("ui-content-path",), note=NO_CONSOLE),
    Key(HARMLESS, "ui_config.metrics_provider", STRING, "", "Where the console finds metrics.", note=NO_CONSOLE),
    Key(HARMLESS, "ui_config.metrics_provider_files", STRINGS, (), "Scripts of the metrics provider.", note=NO_CONSOLE),
    Key(HARMLESS, "ui_config.metrics_provider_options_json", STRING, "", "Options of the metrics provider.", note=NO_CONSOLE),
    Key(HARMLESS, "ui_config.metrics_proxy", Kind.TABLE, None, "Where the console's metrics requests go.", note=NO_CONSOLE),
    Key(HARMLESS, "ui_config.dashboard_url_templates", Kind.TABLE, None, "Links to dashboards.", note=NO_CONSOLE),
    Key(HARMLESS, "ui", BOOL, False, "Serve the web console.", note=NO_CONSOLE, deprecated="ui_config.enabled"),
    Key(HARMLESS, "ui_dir", STRING, "", "Folder of another web console.", note=NO_CONSOLE, deprecated="ui_config.dir"),
    Key(HARMLESS, "ui_content_path", STRING, "/ui/", "Path of the web console.", note=NO_CONSOLE, deprecated="ui_config.content_path"),
)  # fmt: skip

MESH = (
    Key(HARMLESS, "connect.enabled", BOOL, False, "Offer the mesh.", note=NO_MESH),
    Key(HARMLESS, "connect.enable_mesh_gateway_wan_federation", BOOL, False, "Federate through gateways.", note=NO_MESH),
    Key(HARMLESS, "connect.enable_serverless_plugin", BOOL, False, "Services of serverless platforms.", note=NO_MESH),
    Key(HARMLESS, "connect.ca_provider", STRING, "", "Who signs certificates of the mesh.", note=NO_MESH),
    Key(HARMLESS, "connect.ca_config", Kind.TABLE, None, "Settings of that authority.", note=NO_MESH),
    Key(HARMLESS, "connect.test_ca_leaf_root_change_spread", DURATION, 0.0, "Spread of new certificates.", note=NO_MESH),
    Key(HARMLESS, "enable_central_service_config", BOOL, True, "Defaults of services come from the cluster.",
        note="there are no configuration entries yet"),
    Key(REFUSED, "config_entries.bootstrap", Kind.LIST, (), "Configuration entries to start with."),
    Key(REFUSED, "default_intention_policy", STRING, "", "Whether services may talk without a rule.", strict=True),
    Key(HARMLESS, "peering.enabled", BOOL, True, "Offer cluster peering.", note="there is no cluster peering"),
    Key(HARMLESS, "xds.update_max_per_second", Kind.FLOAT, 250.0, "Updates per second to proxies.", note=NO_MESH),
    Key(HARMLESS, "primary_gateways", STRINGS, (), "Gateways of the primary datacenter; repeatable.", flags=("primary-gateway",),
        note=NO_MESH),
    Key(HARMLESS, "primary_gateways_interval", DURATION, 30.0, "Time between tries to reach them.", note=NO_MESH),
    Key(HARMLESS, "auto_reload_config", BOOL, False, "Reload when a file changes.", flags=("auto-reload-config",),
        note="files are read again on SIGHUP or reload"),
    Key(HARMLESS, "disable_anonymous_signature", BOOL, True, "No ID in update checks.", note=NO_PHONE),
    Key(HARMLESS, "disable_update_check", BOOL, True, "No update checks.", note=NO_PHONE),
    Key(HARMLESS, "disable_remote_exec", BOOL, True, "No commands over gossip.", note="commands over gossip do not exist here"),
    Key(HARMLESS, "disable_coordinates", BOOL, False, "No network coordinates.", note="coordinates come with gossip"),
)  # fmt: skip
