"""What only rostra has: roles and their doors. And the flags that are no setting."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing

WORKS = Standing.WORKS
TARGETS = Kind.TARGETS

ROLES = (
    Key(WORKS, "roles", Kind.ROLES, (), "Roles of this process: gossip, consensus, catalog, dns, gateway, local; all for a server.",
        flags=("roles",), field="roles.run"),
    Key(WORKS, "upstreams.gossip", TARGETS, (), "Where gossip is, if not here: host:port[,host:port...] or unix:PATH.",
        flags=("gossip",), field="roles.gossip"),
    Key(WORKS, "upstreams.consensus", TARGETS, (), "Where consensus is, if not here.", flags=("consensus",), field="roles.consensus"),
    Key(WORKS, "upstreams.catalog", TARGETS, (), "Where catalogs are, if not here.", flags=("catalog",), field="roles.catalog"),
    Key(WORKS, "upstreams.local", TARGETS, (), "Where local is, if not here.", flags=("local",), field="roles.local"),
    Key(WORKS, "grpc_addr", Kind.LISTEN, "", "TCP address of the role door, beside its socket; TLS as in tls.internal_rpc.",
        flags=("grpc-addr",), field="roles.grpc_addr", why="a role door lets its caller do everything: nobody gets one unasked"),
    Key(WORKS, "observer", Kind.BOOL, False, "This catalog only reads along: no snapshots, no leader's duties.", flags=("observer",),
        field="roles.observer"),
)  # fmt: skip

SOURCES = (
    Key(WORKS, "", Kind.BOOL, False, "For development: a server of its own on 127.0.0.1 that keeps nothing.", flags=("dev",)),
    Key(WORKS, "", Kind.STRINGS, (), "A configuration file, .hcl or .json; repeatable.", flags=("config-file",)),
    Key(WORKS, "", Kind.STRINGS, (), "A folder: its .hcl and .json files are read in lexical order; repeatable.",
        flags=("config-dir",)),
    Key(WORKS, "", Kind.STRING, "", "Read each configuration file as this, whatever its name.", flags=("config-format",),
        choices=("hcl", "json")),
    Key(WORKS, "", Kind.STRINGS, (), "A piece of configuration in HCL, which has the last word; repeatable.", flags=("hcl",)),
)  # fmt: skip
