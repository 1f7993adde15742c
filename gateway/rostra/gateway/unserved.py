"""Consul's paths that rostra does not serve yet: never 404, which clients take for "there is no such thing"."""

from __future__ import annotations

from typing import Final

from rostra.gateway.answer import Answer, text_answer

UNSERVED: Final = {
    "/v1/kv": "the key/value store",
    "/v1/txn": "transactions",
    "/v1/session": "sessions",
    "/v1/event": "user events over HTTP",
    "/v1/query": "prepared queries",
    "/v1/config": "configuration entries",
    "/v1/connect": "the service mesh",
    "/v1/discovery-chain": "the service mesh",
    "/v1/agent/connect": "the service mesh",
    "/v1/catalog/connect": "the service mesh",
    "/v1/catalog/gateway-services": "the service mesh",
    "/v1/health/connect": "the service mesh",
    "/v1/health/ingress": "the service mesh",
    "/v1/exported-services": "cluster peering",
    "/v1/peering": "cluster peering",
    "/v1/peerings": "cluster peering",
    "/v1/internal": "the console's private API",
    "/v1/agent/host": "facts about the host",
    "/v1/agent/token": "access control",
    "/v1/agent/metrics": "metrics as a stream",
    "/v1/coordinate/update": "coordinates that are told over HTTP",
    "/v1/operator": "this operator command",
}
"""Path to what it is for; everything below the path is meant too, as far as it is not served."""

ACL: Final = "/v1/acl"


def unserved_answer(path: str) -> Answer | None:
    """What to say to a path that is not in the table; None for one that Consul has not either."""
    if path == ACL or path.startswith(ACL + "/"):
        return text_answer(401, "ACL support disabled")
    parts = path.split("/")
    for length in (4, 3):
        feature = UNSERVED.get("/".join(parts[:length]))
        if feature is not None:
            return text_answer(501, f"{path} is not served: this version of rostra does not have {feature} yet")
    return None
