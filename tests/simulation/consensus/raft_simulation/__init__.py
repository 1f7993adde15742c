"""Whole clusters of real cores on a simulated network, disk and clock, checked after every step. One seed, one history."""
