"""What a process says about itself: ``logs`` (text or JSON, and taps for whoever listens) and ``metrics`` (Prometheus, readiness)."""
