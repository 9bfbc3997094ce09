"""Viewers, devices, assets and content keys that are revoked until somebody lifts it."""
