"""Notices in numbers, for transparency reports and card schemes. There is no personal data in them."""
