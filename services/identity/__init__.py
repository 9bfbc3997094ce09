"""Who people are, which organisations they belong to, what they may do there, and the tokens and keys that show it.

Owns accounts, sessions, passkeys, organisations, memberships, roles, API keys and the keys that access tokens are signed with.
"""
