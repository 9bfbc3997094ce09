"""From what was read in a copy to the names of those whose copies went into it, with a bound on naming an innocent. Pure arithmetic."""
