"""A provider of proofs of age that believes whatever it is told, for demonstrations and development: an API, a hosted page, signed webhooks.

It stands for somebody else's company. So it shares nothing with the mesh but two secrets: the key of its API, and the one that its webhooks are signed
with. It keeps nothing: what was asked is in the page's address, signed.
"""
