"""Passkeys (W3C Web Authentication, Level 3): keys of people's devices, with which they sign in without a password."""
