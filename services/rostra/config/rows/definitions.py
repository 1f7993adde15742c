"""The fields of a service and of a check in a configuration file. They are handed on as plain dictionaries in these spellings."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing

WORKS, HARMLESS, REFUSED = Standing.WORKS, Standing.HARMLESS, Standing.REFUSED
STRING, BOOL, INT, DURATION, STRINGS = Kind.STRING, Kind.BOOL, Kind.INT, Kind.DURATION, Kind.STRINGS

ENTERPRISE = "an enterprise feature of Consul"
NO_ACL = "there is no access control yet"
NO_MESH = "there is no mesh"
MAX_PORT = 65535

SERVICE = (
    Key(WORKS, "service.id", STRING, "", "ID on this node; the name if not given."),
    Key(WORKS, "service.name", STRING, "", "Name that it is found by."),
    Key(WORKS, "service.tags", STRINGS, (), "Tags."),
    Key(WORKS, "service.address", STRING, "", "Address or host name; the node's if not given."),
    Key(WORKS, "service.port", INT, 0, "Port.", minimum=0, maximum=MAX_PORT),
    Key(WORKS, "service.meta", Kind.MAP, {}, "Metadata."),
    Key(WORKS, "service.tagged_addresses", Kind.TABLE, None, "Further addresses by name, each with address and port."),
    Key(WORKS, "service.weights.passing", INT, 1, "DNS weight while passing.", minimum=0, maximum=MAX_PORT),
    Key(WORKS, "service.weights.warning", INT, 1, "DNS weight while in warning.", minimum=0, maximum=MAX_PORT),
    Key(WORKS, "service.enable_tag_override", BOOL, False, "Leave the tags to others."),
    Key(WORKS, "service.check", Kind.DEFINITIONS, (), "Its check."),
    Key(WORKS, "service.checks", Kind.DEFINITIONS, (), "Its checks."),
    Key(REFUSED, "service.token", STRING, "", "Token to register with.", note=NO_ACL, strict=True, secret=True),
    Key(REFUSED, "service.kind", STRING, "", "Kind of proxy or gateway.", note=NO_MESH),
    Key(REFUSED, "service.proxy", Kind.TABLE, None, "What it is a proxy of.", note=NO_MESH),
    Key(REFUSED, "service.connect", Kind.TABLE, None, "Its part in the mesh.", note=NO_MESH),
    Key(REFUSED, "service.socket_path", STRING, "", "Unix socket."),
    Key(REFUSED, "service.ports", Kind.LIST, (), "Several ports by name."),
    Key(HARMLESS, "service.locality", Kind.TABLE, None, "Region and zone.", note="answers are not ordered by region"),
    Key(REFUSED, "service.namespace", STRING, "", "Namespace.", note=ENTERPRISE),
    Key(REFUSED, "service.partition", STRING, "", "Admin partition.", note=ENTERPRISE),
)  # fmt: skip

CHECK_KINDS = ("ttl", "args", "http", "tcp", "udp", "grpc", "h2ping", "docker_container_id", "os_service", "alias_service", "alias_node")
"""A check is of exactly one kind, told by its field; a container's check has ``args`` too, and an alias may name node and service."""

CHECK = (
    Key(WORKS, "check.id", STRING, "", "ID on this node; the name, or made from the service's, if not given."),
    Key(WORKS, "check.check_id", STRING, "", "The same."),
    Key(WORKS, "check.name", STRING, "", "Name for people."),
    Key(WORKS, "check.notes", STRING, "", "For people."),
    Key(WORKS, "check.service_id", STRING, "", "Service of this node that it belongs to."),
    Key(WORKS, "check.status", STRING, "critical", "Status until it has run.", choices=("passing", "warning", "critical")),
    Key(WORKS, "check.ttl", DURATION, 0.0, "Critical unless told otherwise within this time.", minimum=0.001),
    Key(WORKS, "check.interval", DURATION, 0.0, "Time between runs; at least 1s.", minimum=1.0),
    Key(WORKS, "check.timeout", DURATION, 0.0, "Time for a run."),
    Key(WORKS, "check.success_before_passing", INT, 0, "Runs that must pass first.", minimum=0),
    Key(WORKS, "check.failures_before_warning", INT, 0, "Runs that must fail before warning.", minimum=0),
    Key(WORKS, "check.failures_before_critical", INT, 0, "Runs that must fail before critical.", minimum=0),
    Key(WORKS, "check.output_max_size", INT, 4096, "Bytes of output that are kept; at most 65536.", minimum=1),
    Key(WORKS, "check.deregister_critical_service_after", DURATION, 0.0, "Deregister the service when critical for this long.",
        minimum=60.0),
    Key(WORKS, "check.args", STRINGS, (), "Command of a script check."),
    Key(WORKS, "check.script_args", STRINGS, (), "Command of a script check."),
    Key(WORKS, "check.shell", STRING, "", "Shell in the container."),
    Key(WORKS, "check.http", STRING, "", "URL of an HTTP check."),
    Key(WORKS, "check.method", STRING, "GET", "Method of an HTTP check."),
    Key(WORKS, "check.header", Kind.TABLE, None, "Headers of an HTTP check, each a list."),
    Key(WORKS, "check.body", STRING, "", "Body of an HTTP check."),
    Key(WORKS, "check.disable_redirects", BOOL, False, "Do not follow redirects."),
    Key(WORKS, "check.tcp", STRING, "", "host:port of a TCP check."),
    Key(WORKS, "check.tcp_use_tls", BOOL, False, "TLS for a TCP check."),
    Key(WORKS, "check.udp", STRING, "", "host:port of a UDP check."),
    Key(WORKS, "check.grpc", STRING, "", "host:port[/service] of a gRPC check."),
    Key(WORKS, "check.grpc_use_tls", BOOL, False, "TLS for a gRPC check."),
    Key(WORKS, "check.h2ping", STRING, "", "host:port of an HTTP/2 ping."),
    Key(WORKS, "check.h2ping_use_tls", BOOL, True, "TLS for an HTTP/2 ping."),
    Key(WORKS, "check.tls_server_name", STRING, "", "Name in the server's certificate."),
    Key(WORKS, "check.tls_skip_verify", BOOL, False, "Take any certificate."),
    Key(WORKS, "check.alias_node", STRING, "", "Node that an alias check follows."),
    Key(WORKS, "check.alias_service", STRING, "", "Service that an alias check follows."),
    Key(WORKS, "check.docker_container_id", STRING, "", "Container that a script runs in."),
    Key(WORKS, "check.os_service", STRING, "", "Service of the operating system."),
    Key(REFUSED, "check.token", STRING, "", "Token to register with.", note=NO_ACL, strict=True, secret=True),
    Key(REFUSED, "check.namespace", STRING, "", "Namespace.", note=ENTERPRISE),
    Key(REFUSED, "check.partition", STRING, "", "Admin partition.", note=ENTERPRISE),
)  # fmt: skip
