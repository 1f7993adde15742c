"""TLS: certificates read and checked, shown and trusted on every listener, taken anew while the process runs, and made by ``rostra tls``
(docs/design/tls.md).

The agent alone uses this package. A role is given what it needs of it: an ``ssl.SSLContext``, gRPC's credentials, or a
``rostra.rpc.channels.Connector``.
"""
