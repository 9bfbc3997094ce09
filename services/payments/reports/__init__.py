"""Revenue: what came in, and what became of it, summed up from the ledger."""
