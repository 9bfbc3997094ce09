"""A payment processor that moves no money, for demonstrations and development: a hosted page, an API, signed webhooks, and books of its own.

It stands for somebody else's company. So it shares nothing with the mesh but two secrets, as real ones do: the key of its API, and the one that
its webhooks are signed with.
"""
