"""Says how much each caller may do: counts calls by address, caller, organisation and account over all edges, and refuses what is too much.

Owns schema `limits`, which holds nothing that would be missed.
"""
