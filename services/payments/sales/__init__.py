"""Sales, and what becomes of them: refunds, chargebacks, reversals; and what they grant."""
