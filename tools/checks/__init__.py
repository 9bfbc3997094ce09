"""Rules of this repository that no general tool knows. `python -m tools.checks` looks at every file under git."""
