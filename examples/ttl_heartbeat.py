"""Offers a service for as long as it runs: says every second that it is well, and deregisters at Ctrl-C.

Should this program die, the check turns critical five seconds later and the service is found no more.

python ttl_heartbeat.py [HOST:PORT]
"""

import sys
import time

import grpc

from rostra.v1.agent_pb2 import DeregisterServiceRequest, LocalCheck, RegisterServiceRequest, UpdateTtlRequest
from rostra.v1.agent_pb2_grpc import AgentServiceStub
from rostra.v1.catalog_pb2 import HEALTH_STATUS_PASSING, CheckDefinition, Service

TIMEOUT_S = 10.0
SERVICE = Service(id="worker-1", name="worker", port=9000)
CHECK = LocalCheck(check_id="worker-1-alive", name="Worker heartbeat", definition=CheckDefinition(ttl_ms=5000))


def main(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        agent = AgentServiceStub(channel)
        agent.RegisterService(RegisterServiceRequest(service=SERVICE, checks=[CHECK]), timeout=TIMEOUT_S)
        print(f"registered {SERVICE.name}", flush=True)
        try:
            beat(agent)
        except KeyboardInterrupt:
            agent.DeregisterService(DeregisterServiceRequest(service_id=SERVICE.id), timeout=TIMEOUT_S)
            print("deregistered")


def beat(agent: AgentServiceStub) -> None:
    started = time.monotonic()
    while True:
        said = f"up for {time.monotonic() - started:.0f} s"
        agent.UpdateTtl(UpdateTtlRequest(check_id=CHECK.check_id, status=HEALTH_STATUS_PASSING, output=said), timeout=TIMEOUT_S)
        print(f"heartbeat: {said}", flush=True)
        time.sleep(1.0)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8502")
