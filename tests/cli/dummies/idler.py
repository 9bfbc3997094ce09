"""Listens on its socket, and has a child that nobody told to die with it: what an encoder of a careless worker would be."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path


def main() -> None:
    """Accepts connections for ever."""
    child = subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True)
    print(f"child: {child.pid}")
    path = Path(os.environ["REELMESH_LISTEN"].removeprefix("unix:"))
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        while True:
            connection, _ = listener.accept()
            connection.close()


if __name__ == "__main__":
    main()
