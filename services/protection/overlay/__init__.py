"""The visible overlay: each organisation's template, and copies for review that carry it for good."""
