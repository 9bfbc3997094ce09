"""Keeps the books: sales, how their price is divided, refunds, chargebacks, and what buyers may watch by them.

Owns schema `payments`.
"""
