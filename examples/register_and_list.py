"""Registers a service in the catalog over gRPC, lists its instances, and takes it out again.

python register_and_list.py [HOST:PORT]
"""

import sys

import grpc

from rostra.v1.catalog_pb2 import (
    HEALTH_STATUS_PASSING,
    Check,
    DeregisterRequest,
    Deregistration,
    HealthStatus,
    ListServiceInstancesRequest,
    Node,
    RegisterRequest,
    Registration,
    Service,
)
from rostra.v1.catalog_pb2_grpc import CatalogServiceStub

TIMEOUT_S = 10.0


def main(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        catalog = CatalogServiceStub(channel)
        registration = Registration(
            node=Node(name="printer-1", address="127.0.0.41"),
            service=Service(name="printing", port=631, tags=["colour"]),
            checks=[Check(check_id="paper", name="Paper", status=HEALTH_STATUS_PASSING, service_id="printing")],
        )
        written = catalog.Register(RegisterRequest(registration=registration), timeout=TIMEOUT_S)
        print(f"registered at log index {written.index}")

        # A read after a write sees it: reads are linearizable unless ReadOptions says otherwise.
        found = catalog.ListServiceInstances(ListServiceInstancesRequest(service="printing"), timeout=TIMEOUT_S)
        for instance in found.instances:
            states = ", ".join(f"{check.name}: {HealthStatus.Name(check.status)}" for check in instance.checks)
            print(f"{instance.service.name} on {instance.node.name} at {instance.node.address}:{instance.service.port} ({states})")

        catalog.Deregister(DeregisterRequest(deregistration=Deregistration(node="printer-1")), timeout=TIMEOUT_S)
        print("deregistered")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8502")
