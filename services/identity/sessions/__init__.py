"""Signed-in browsers, apps and devices: families of refresh tokens, and the access tokens that they are exchanged for."""
