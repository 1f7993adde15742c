"""Each kind of check against a server of its own."""
