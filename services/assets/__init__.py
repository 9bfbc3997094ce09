"""Keeps the record of each asset and tells how far it has come.

Owns schema `assets`. What it knows of other services' work it knows from their events, in whatever order they come.
"""
