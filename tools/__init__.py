"""What developers and operators run: the command, the client library, generators, checks."""
