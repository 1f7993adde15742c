"""The DNS role: names of nodes and services, answered from the views of the catalog.

The data path is the order of the files::

    datagram -> driver -> core -> wire (question) -> names (form) -> answers (RRsets from views) -> message (fit) -> driver

``core`` and everything under it are pure. ``core`` keeps finished answers for as long as what they were made from stands.
"""
