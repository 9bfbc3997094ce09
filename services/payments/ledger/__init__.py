"""The double-entry ledger: accounts, entries, postings, balances. It knows nothing of sales."""
