"""URLs of packages in the ways in which outside CDNs want them signed, so that those judge segments by themselves.

A CDN knows nothing of sessions: what it was given lasts until it ends, and a revocation does not reach it. Its lifetimes are therefore short.
"""
