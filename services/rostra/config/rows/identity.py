"""Who the node is, and at which addresses it is reached."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing

WORKS, HARMLESS, REFUSED = Standing.WORKS, Standing.HARMLESS, Standing.REFUSED
STRING, BOOL, PORT, ADDRESS, ADDRESSES, MAP = Kind.STRING, Kind.BOOL, Kind.PORT, Kind.ADDRESS, Kind.ADDRESSES, Kind.MAP

LOOPBACK = "only this machine reaches a door that nobody asked to open"
NO_SECOND = "the gRPC port speaks TLS itself, where tls.grpc or tls.defaults has a certificate"
ONE_DATACENTER = "datacenters are not federated in this version"

IDENTITY = (
    Key(WORKS, "node_name", STRING, "", "Name of this node, unique in the cluster; the host's name if not given.",
        flags=("node",), field="identity.node_name"),
    Key(WORKS, "node_id", STRING, "", "ID of this node, a UUID; if not given, a random one that is kept in the data folder.",
        flags=("node-id",), field="identity.node_id"),
    Key(WORKS, "node_meta", MAP, {}, "Metadata of this node, key:value; repeatable, at most 64.",
        flags=("node-meta",), field="identity.node_meta", reloadable=True),
    Key(WORKS, "datacenter", STRING, "dc1", "Datacenter of this node.", flags=("datacenter",), field="identity.datacenter"),
    Key(HARMLESS, "primary_datacenter", STRING, "", "Datacenter that leads federation.", note=ONE_DATACENTER),
    Key(HARMLESS, "disable_host_node_id", BOOL, True, "Do not derive the node ID from the host.", flags=("disable-host-node-id",),
        note="a node ID is always random"),
    Key(REFUSED, "locality", Kind.TABLE, None, "Region and zone of this node."),
)  # fmt: skip

ADDRESS_KEYS = (
    Key(WORKS, "bind_addr", ADDRESS, "0.0.0.0", "Address that gossip and the server port listen on.",  # noqa: S104 - Consul's default
        flags=("bind",), field="addresses.bind", dev="127.0.0.1"),
    Key(WORKS, "client_addr", ADDRESSES, ("127.0.0.1",), "Addresses that HTTP, DNS and gRPC listen on, separated by spaces.",
        flags=("client",), field="addresses.client", why=LOOPBACK),
    Key(WORKS, "advertise_addr", ADDRESS, "", "Address that other members are told; the bind address, or the one private address.",
        flags=("advertise",), field="addresses.advertise", why="with several private addresses only the operator knows which one"),
    Key(WORKS, "advertise_addr_ipv4", ADDRESS, "", "IPv4 address that is advertised where advertise_addr is not given."),
    Key(WORKS, "advertise_addr_ipv6", ADDRESS, "", "IPv6 address that is advertised where neither of the two above is given."),
    Key(WORKS, "advertise_addr_wan", ADDRESS, "", "Address that WAN members are told; the advertised address if not given.",
        flags=("advertise-wan",), field="addresses.advertise_wan"),
    Key(REFUSED, "advertise_addr_wan_ipv4", ADDRESS, "", "IPv4 address for WAN members."),
    Key(REFUSED, "advertise_addr_wan_ipv6", ADDRESS, "", "IPv6 address for WAN members."),
    Key(WORKS, "serf_lan", ADDRESS, "", "Address that LAN gossip listens on; the bind address if not given.",
        flags=("serf-lan-bind",), field="addresses.serf_lan"),
    Key(WORKS, "serf_wan", ADDRESS, "", "Address that WAN gossip listens on; the bind address if not given.",
        flags=("serf-wan-bind",), field="addresses.serf_wan"),
    Key(WORKS, "addresses.dns", ADDRESSES, (), "Addresses of DNS; client_addr if not given.", field="addresses.dns"),
    Key(WORKS, "addresses.http", ADDRESSES, (), "Addresses of HTTP; client_addr if not given.", field="addresses.http"),
    Key(WORKS, "addresses.https", ADDRESSES, (), "Addresses of HTTPS; client_addr if not given.", field="addresses.https"),
    Key(WORKS, "addresses.grpc", ADDRESSES, (), "Addresses of the public gRPC door; client_addr if not given.", field="addresses.grpc"),
    Key(REFUSED, "addresses.grpc_tls", ADDRESSES, (), "Addresses of gRPC with TLS.", note=NO_SECOND),
    Key(HARMLESS, "translate_wan_addrs", BOOL, False, "Prefer WAN addresses in answers about other datacenters.", note=ONE_DATACENTER),
    Key(HARMLESS, "unix_sockets.user", STRING, "", "Owner of unix sockets.", note="client doors are TCP only"),
    Key(HARMLESS, "unix_sockets.group", STRING, "", "Group of unix sockets.", note="client doors are TCP only"),
    Key(HARMLESS, "unix_sockets.mode", STRING, "", "Permissions of unix sockets.", note="client doors are TCP only"),
)  # fmt: skip

PORTS = (
    Key(WORKS, "ports.dns", PORT, 8600, "DNS, UDP and TCP; -1 turns it off.", flags=("dns-port",), field="ports.dns"),
    Key(WORKS, "ports.http", PORT, 8500, "HTTP; -1 turns it off.", flags=("http-port",), field="ports.http"),
    Key(WORKS, "ports.https", PORT, -1, "HTTPS; -1 turns it off.", flags=("https-port",), field="ports.https"),
    Key(WORKS, "ports.dns_tls", PORT, -1, "DNS over TLS, with the certificate of tls.https; -1 turns it off.", flags=("dns-tls-port",),
        field="ports.dns_tls", why="Consul has no such door; RFC 7858 gives it 853"),
    Key(WORKS, "ports.grpc", PORT, 8502, "The public gRPC door; -1 turns it off.", flags=("grpc-port",), field="ports.grpc",
        why="the typed gRPC API is the point of rostra"),
    Key(REFUSED, "ports.grpc_tls", PORT, -1, "gRPC with TLS; -1 turns it off.", flags=("grpc-tls-port",), field="ports.grpc_tls",
        note=NO_SECOND),
    Key(WORKS, "ports.serf_lan", PORT, 8301, "LAN gossip, UDP and TCP.", flags=("serf-lan-port",), field="ports.serf_lan", minimum=1),
    Key(WORKS, "ports.serf_wan", PORT, 8302, "WAN gossip of servers, UDP and TCP; -1 turns it off.", flags=("serf-wan-port",),
        field="ports.serf_wan"),
    Key(WORKS, "ports.server", PORT, 8300, "gRPC between agents: Raft, forwarding, catalog streams.", flags=("server-port",),
        field="ports.server", minimum=1),
    Key(HARMLESS, "ports.sidecar_min_port", PORT, 21000, "First port for sidecars.", note="there is no mesh"),
    Key(HARMLESS, "ports.sidecar_max_port", PORT, 21255, "Last port for sidecars.", note="there is no mesh"),
    Key(HARMLESS, "ports.expose_min_port", PORT, 21500, "First port for exposed checks.", note="there is no mesh"),
    Key(HARMLESS, "ports.expose_max_port", PORT, 21755, "Last port for exposed checks.", note="there is no mesh"),
)  # fmt: skip
