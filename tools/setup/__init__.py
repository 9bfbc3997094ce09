"""What `make setup` does: everything between a fresh clone and a machine that can run and test Reelmesh."""
