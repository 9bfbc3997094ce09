"""Fingerprints of picture and sound: made of each title, searched for files that show or sound like one.

Knows nothing of watermarks and of whose copy a file is; only which title it is, and where in it.
"""
