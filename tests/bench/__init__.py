"""Measures us beside peers on this machine: `make bench [ONLY=group]`."""
