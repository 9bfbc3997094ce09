"""Keeps the proofs: the audit log, a Merkle tree over the events of all services.

Owns schema `compliance`.
"""
