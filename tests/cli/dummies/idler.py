"""Listens on its socket, and has a child that nobody told to die with it: what an encoder of a careless worker would be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys


def main() -> None:
    """Accepts connections for ever."""
    child = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    print(f"child: {child.pid}")
    path = os.environ["REELMESH_LISTEN"].removeprefix("unix:")
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            connection.close()


if __name__ == "__main__":
    sys.exit(main())
