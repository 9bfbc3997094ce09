"""Processes for the small mesh."""
