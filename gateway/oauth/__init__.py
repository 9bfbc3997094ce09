"""OAuth 2.1 and OpenID Connect for clients, and the way to outside providers and back. Speaks the protocols and decides nothing: the identity
service does."""
