"""The keys that sign tickets, and how one follows another without a viewer noticing."""
