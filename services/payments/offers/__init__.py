"""What is offered to viewers: an asset or the whole catalogue, for good, for a while or for nothing, at a price by territory."""
