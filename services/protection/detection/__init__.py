"""From a suspicious file and the two variants of a title to how clearly each position of a codeword can be read in it."""
