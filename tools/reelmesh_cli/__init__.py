"""The `reelmesh` command: starts the mesh on one machine, and speaks to it as an operator would."""
