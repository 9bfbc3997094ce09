"""What creators are paid: payees, batches that two people make, transfers, and reserves that are released."""
