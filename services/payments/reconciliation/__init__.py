"""Whether processors have the same in their books as we in ours, day by day; what differs is a case."""
