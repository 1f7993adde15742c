"""The gossip role: who is in the cluster, and who is alive (SWIM, Lifeguard), in the wire format of memberlist and Serf.

``wire``            bytes to messages and back; one typed error for hostile input
``membership``      who is alive: SWIM's states; with ``probe``, ``suspicion``, ``awareness``, ``broadcasts``, ``dissemination``
``serf``            tags, clean departures, events, queries; with ``serf_members``, ``events``, ``queries``, ``answering``, ``conflict``
``core``            one member of one pool: both layers wired together, sans-I/O; ``effects`` is what it asks of its driver
``driver``          asyncio shell: timers, datagrams, streams; ``transport`` has the sockets
``pool``            what the servicer and other roles use; with ``finding`` (the pool, at start), ``keeping`` and ``storage`` (on disk)
``role``            both pools and GossipService; ``servers`` are those among the members

"gossip-wire section N" in these files is our description of that format, from public documents and recorded packets. It is not part of
this repository; the packets are (tests/unit/gossip/gossip-vectors.json).
"""
