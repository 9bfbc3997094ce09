"""Proofs of age: adapters of providers behind one contract (`contract.py`), checks that viewers go through, and what they proved.

Tables begin with `age_`. Kept are method, provider, result, threshold, expiry and the keyed hash of a nonce; never a document, never a date of birth.
`docs/age.md` says which methods there are, and what each asks of whom.
"""
