"""Leak cases: where copies were found, what proves it, whose they are, and what is done about it, here and at other platforms."""
