"""Credentials of an organisation's servers."""
