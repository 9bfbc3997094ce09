"""Buying on a processor's own page: opened with an offer's price, paid when the processor says so, refunded through it."""
