"""Gossip between real agents on addresses of their own: what an operator does and sees."""
