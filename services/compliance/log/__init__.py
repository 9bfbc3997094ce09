"""The audit log: every event of every service becomes a leaf of one Merkle tree (RFC 6962), in the order of the event bus, once.

Tables begin with `log_`. `docs/audit.md` says what is proved to whom, and how.
"""
