"""Profiles: who is in front of the screen, of those who share an account."""
