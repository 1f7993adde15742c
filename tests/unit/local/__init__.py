"""Tests of the local role."""
