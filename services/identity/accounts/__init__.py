"""People who can sign in: how they register, sign in, and come back when they forgot their password."""
