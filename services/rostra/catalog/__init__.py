"""The catalog role: nodes, services and checks as the state machine of a replicated log.

Data flows one way::

    consensus --entries--> driver -> state (apply) -> publications -> watch streams, waiting reads
    writers -> writes -> consensus

``rules`` says which commands any door refuses; ``store`` holds the tables, ``state`` changes them by commands,
``queries`` reads them, ``snapshot`` carries them to disk and back: all pure. ``driver`` feeds the state from consensus;
``writes``, ``reads`` and ``leadership`` are what a request needs of consensus; ``servicer`` and ``stream_servicer`` are the
doors; ``reconcile`` decides, and ``duties`` does, what the leader's catalog owes the fleet; ``role`` puts it together.
"""
