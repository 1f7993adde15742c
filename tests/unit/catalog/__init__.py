"""The catalog role."""
