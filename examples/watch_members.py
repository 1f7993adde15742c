"""Shows who is in the cluster, and everybody who comes, fails or leaves, until Ctrl-C.

python watch_members.py [HOST:PORT]
"""

import contextlib
import sys
import time

import grpc

from rostra.v1.common_pb2 import Hello
from rostra.v1.gossip_pb2 import MemberChangeKind, MemberStatus, WatchMembersRequest, WatchMembersResponse
from rostra.v1.gossip_pb2_grpc import GossipServiceStub

HELLO = Hello(protocol_min=1, protocol_max=1, role="client")


def show(message: WatchMembersResponse) -> None:
    match message.WhichOneof("event"):
        case "hello":
            print(f"watching from {message.hello.node.name}", flush=True)
        case "snapshot":  # all members: first, and again whenever this reader was too slow
            for member in message.snapshot.members:
                print(f"{member.name} {member.address}:{member.port} {MemberStatus.Name(member.status)}", flush=True)
        case "change":
            print(f"{message.change.member.name} {MemberChangeKind.Name(message.change.kind)}", flush=True)


def main(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        gossip = GossipServiceStub(channel)
        while True:
            try:
                for message in gossip.WatchMembers(WatchMembersRequest(hello=HELLO)):
                    show(message)
            except grpc.RpcError as error:
                print(f"lost the agent ({error.code().name}), trying again", flush=True)
            time.sleep(0.5)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8502")
