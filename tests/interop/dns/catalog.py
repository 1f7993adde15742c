"""What all agents of these tests know: bodies for ``/v1/catalog/register``, in order."""

from __future__ import annotations

from typing import Any

NODES: dict[str, tuple[str, dict[str, str]]] = {
    "n1": ("10.0.0.1", {"k": "v", "rfc1035-t": "text"}),
    "n2": ("10.0.0.2", {}),
    "n3": ("host.example.com", {}),
    "n4": ("2001:db8::4", {}),
    "n5": ("web.service.consul", {}),
    "rack.1": ("10.0.0.7", {}),
}
SERVICES: list[dict[str, Any]] = [
    {"node": "n1", "service": "web", "port": 80, "tags": ["blue", "v1.2"]},
    {"node": "n2", "service": "web", "port": 81, "address": "10.9.9.9", "tags": ["UP"]},
    {"node": "n3", "service": "db", "port": 5432},
    {"node": "n4", "service": "six", "port": 6},
    {"node": "n2", "service": "v6s", "port": 7, "address": "2001:db8::99"},
    {"node": "n2", "service": "ext", "port": 8, "address": "www.example.org"},
    {"node": "n2", "service": "alias", "port": 9, "address": "web.service.consul"},
    {"node": "n2", "service": "down", "port": 10, "status": "critical"},
    {"node": "n2", "service": "worn", "port": 11, "status": "warning", "weights": (10, 3)},
    {"node": "n1", "service": "mixed", "port": 12},
    {"node": "n3", "service": "mixed", "port": 13},
    {"node": "n1", "service": "pair", "port": 14, "id": "pair-1"},
    {"node": "n1", "service": "pair", "port": 15, "id": "pair-2"},
    {"node": "rack.1", "service": "UpCase", "port": 16},
]
CROWD = 60


def instance(entry: dict[str, Any]) -> dict[str, Any]:
    """A service and its check, on a node that is there already."""
    node, service = entry["node"], entry["service"]
    service_id = entry.get("id", service)
    passing, warning = entry.get("weights", (1, 1))
    return {
        "Node": node,
        "Address": NODES[node][0] if node in NODES else f"10.3.0.{node[1:]}",
        "Service": {
            "ID": service_id,
            "Service": service,
            "Port": entry["port"],
            "Address": entry.get("address", ""),
            "Tags": entry.get("tags", []),
            "Weights": {"Passing": passing, "Warning": warning},
        },
        "Check": {
            "Name": "check",
            "CheckID": f"service:{service_id}",
            "ServiceID": service_id,
            "Status": entry.get("status", "passing"),
        },
        "SkipNodeUpdate": True,
    }


CATALOG: list[dict[str, Any]] = [
    *({"Node": name, "Address": address, "NodeMeta": meta} for name, (address, meta) in NODES.items()),
    *map(instance, SERVICES),
    *(instance({"node": f"c{number}", "service": "crowd", "port": 1000}) for number in range(CROWD)),
]
