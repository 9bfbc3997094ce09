"""Foreign HTTP protocols in front of the mesh. A gateway translates; it holds no rules and no database."""
