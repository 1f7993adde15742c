"""The gossip role: who is in the cluster, and who is alive (SWIM, Lifeguard), in the wire format of memberlist and Serf.

``wire``         bytes to messages and back; one typed error for hostile input
``membership``, ``probe``, ``dissemination``, ``serf``, ``events``, ``queries``   the sans-I/O cores
``core``         one member of one pool: the cores wired together
``driver``       asyncio shell: sockets, timers, tasks
``pool``         what the servicer and other roles use
"""
