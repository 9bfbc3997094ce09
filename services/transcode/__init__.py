"""Turns masters into renditions: jobs and their tasks, the sandboxed probe and encode, the workers.

Owns schema `transcode` and, in the object store, `renditions/` and `work/<job>`.
"""
