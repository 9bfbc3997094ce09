"""Makes content keys, keeps them under envelope encryption, and gives them to players that the policy service lets have them.

Owns schema `drm`.
"""
