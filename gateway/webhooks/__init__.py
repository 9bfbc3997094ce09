"""Webhooks of payment processors over HTTP: raw deliveries in, the processor's own form of an answer out. What they mean, `payments` knows.

And what providers of proofs of age, wallets and browsers send about checks (`age.py`): what that means, `compliance` knows.
"""
