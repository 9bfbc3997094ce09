"""Organisations, their members and their roles."""
