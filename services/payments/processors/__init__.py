"""Payment processors behind one contract: their adapters, the accounts that organisations have with them, and what they tell by webhook."""
