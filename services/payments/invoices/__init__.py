"""Invoices for what is sold, credit notes for what goes back: numbered without gaps, and never changed."""
