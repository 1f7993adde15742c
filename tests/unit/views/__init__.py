"""Views: the publisher, the hub and their cores."""
