"""Signs of abuse: from what is seen anyway to a score, and from a score to what is done about it."""
