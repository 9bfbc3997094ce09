"""Decides who may watch what: playback sessions, the tickets in playback URLs, one-time codes, revocation, and the edge's authoriser.

Owns schema `policy`.
"""
