"""Watches the instances of one service until Ctrl-C, and goes on where it was when the agent was away.

python watch_service.py NAME [HOST:PORT]
"""

import sys
import time
from queue import SimpleQueue

import grpc

from rostra.v1.catalog_stream_pb2 import TOPIC_KIND_SERVICE, Subscribe, Topic, TopicEntry, WatchRequest, WatchResponse
from rostra.v1.catalog_stream_pb2_grpc import CatalogStreamServiceStub
from rostra.v1.common_pb2 import Hello

HELLO = Hello(protocol_min=1, protocol_max=1, role="client")


class Watcher:
    def __init__(self, service: str) -> None:
        self.subscribe = Subscribe(subscription=1, topic=Topic(kind=TOPIC_KIND_SERVICE, name=service))

    def run(self, stub: CatalogStreamServiceStub) -> None:
        requests: SimpleQueue[WatchRequest] = SimpleQueue()  # the stream lasts as long as there may be more in it
        requests.put(WatchRequest(hello=HELLO))
        requests.put(WatchRequest(subscribe=self.subscribe))
        for message in stub.Watch(iter(requests.get, None)):
            self.take(message)

    def take(self, message: WatchResponse) -> None:
        match message.WhichOneof("content"):
            case "hello":
                self.subscribe.resume_cluster_id = message.hello.cluster_id
            case "snapshot":  # everything, where there is nothing to resume or too much was missed; it may come in parts
                index = 0 if message.snapshot.more else message.snapshot.index
                self.show("snapshot", index, *message.snapshot.entries)
            case "delta":
                self.show("change", message.delta.index, *message.delta.entries)
            case "resumed":
                self.show("resumed", message.resumed.index)

    def show(self, what: str, index: int, *entries: TopicEntry) -> None:
        self.subscribe.resume_index = index  # where the next stream goes on
        print(f"{what} at index {index}", flush=True)
        for entry in entries:
            place = f"{entry.instance.node.address}:{entry.instance.service.port}" if entry.HasField("instance") else "gone"
            print(f"  {entry.key.replace(chr(0), '/')} {place}", flush=True)


if __name__ == "__main__":
    watcher = Watcher(sys.argv[1])
    while True:
        try:
            with grpc.insecure_channel(sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:8502") as channel:
                watcher.run(CatalogStreamServiceStub(channel))
        except grpc.RpcError as error:
            print(f"lost the agent ({error.code().name}), trying again", flush=True)
            time.sleep(0.2)
        except KeyboardInterrupt:
            break
