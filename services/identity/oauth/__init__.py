"""What people let OAuth clients do: authorization requests, codes, devices, consents, and the tokens that come of them."""
