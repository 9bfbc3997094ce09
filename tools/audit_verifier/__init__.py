"""Verifies the audit log from files alone: exports, folders of tiles, single proofs. It shares no code with the service that keeps the log.

Needs Python and `cryptography`. `python -m tools.audit_verifier FILE` does without everything else.
"""
