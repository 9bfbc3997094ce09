"""Takes master files in: upload sessions, bytes that survive a crash of either side, checksums, content-addressed masters.

Owns schema `upload` and, in the object store, `staging/` and `masters/`.
"""
