"""How roles reach each other: one client class per service, over a socket or within the process.

``status`` maps errors to statuses and back; ``hello`` opens streams; ``handlers`` wraps a servicer's methods with both
and with metrics; ``inprocess`` is a channel without a socket; ``doors`` serves handlers on ports and unix sockets;
``channels`` opens one to an address; ``companions`` and ``together`` are tasks of a stream, ``back_off`` the pause before the next try.
"""
