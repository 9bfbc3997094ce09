"""The lists of hashes that masters are compared with: kept, imported, and compared."""
