"""Consul's HTTP API with nothing but the standard library: register a service, wait for it by a blocking query, list, deregister.

python rest.py [HOST:PORT]
"""

import json
import sys
from typing import Any
from urllib.request import Request, urlopen


class Agent:
    def __init__(self, address: str) -> None:
        self.base = f"http://{address}/v1"

    def get(self, path: str) -> tuple[Any, int]:
        """What the agent answers, and the index to wait for a change of it."""
        with urlopen(self.base + path, timeout=30) as answer:
            return json.load(answer), int(answer.headers.get("X-Consul-Index", 0))

    def put(self, path: str, body: object = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        urlopen(Request(self.base + path, data=data, method="PUT"), timeout=30).close()


def main(address: str) -> None:
    agent = Agent(address)
    agent.put("/agent/service/register", {"Name": "shop", "Port": 8080, "Tags": ["v1"]})
    instances, index = agent.get("/catalog/service/shop")
    while not instances:  # the node pushes it to the catalog: wait for that, not for a time
        instances, index = agent.get(f"/catalog/service/shop?index={index}&wait=10s")
    for instance in instances:
        print(f"{instance['ServiceName']} on {instance['Node']}, {instance['Address']}:{instance['ServicePort']}")

    nodes, _ = agent.get("/catalog/nodes")
    for node in nodes:
        print(f"node {node['Node']} at {node['Address']}")

    agent.put("/agent/service/deregister/shop")
    print("deregistered")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8500")
