"""One client class per service: takes a channel, gives domain values, raises ``rostra.errors``."""
