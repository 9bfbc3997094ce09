"""How a price is divided, and how a part of it is taken back: rules by version, to the last minor unit."""
