"""`python -m tools.reelmesh_cli` is `reelmesh`."""

from tools.reelmesh_cli.app import main

main()
