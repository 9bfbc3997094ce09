"""Productions, who is seen in them, and their releases."""
