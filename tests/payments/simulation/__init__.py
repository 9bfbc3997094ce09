"""Subscribers over years in accelerated time: the real scheduler on the real Postgres, a bank that fails in every way, and an oracle."""
