"""The consensus role: a replicated log of opaque commands (Raft, after Ongaro's thesis, 2014).

``core`` holds every transition of the protocol and touches neither clock, disk nor network; ``driver`` is the asyncio
shell around it; ``storage`` is what is on disk. Nothing here knows what a command means, and nothing outside may know
that this is Raft.
"""
