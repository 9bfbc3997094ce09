"""What processors tell: checked, kept and acknowledged at once; worked on from a queue, in any order and any number of times."""
