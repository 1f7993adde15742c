"""Values that roles and clients share: what a member is, what a catalog holds. No behaviour, no I/O."""
