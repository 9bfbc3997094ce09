"""Anchors checkpoints of the audit log where whoever keeps the log cannot change them: on an EVM chain, and in Bitcoin by OpenTimestamps.

Both are off until they are set. Needs the extra `anchoring`; its libraries are imported by whoever is set up to use them only.
"""
