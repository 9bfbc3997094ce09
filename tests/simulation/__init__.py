"""Thousands of viewers before real edges, and an oracle that knows at each moment who of them is entitled to what."""
