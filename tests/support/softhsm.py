"""A hardware module in software: SoftHSM 2, with a token in a folder of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "482915"


@dataclass(frozen=True)
class Token:
    """One token. All tokens of a process lie in one folder, because the module reads its configuration once."""

    label: str
    pin_file: Path
    configuration: Path

    def settings(self) -> dict[str, object]:
        """What makes the DRM service use it."""
        return {
            "drm_keystore": "pkcs11",
            "drm_pkcs11_module": MODULE,
            "drm_pkcs11_token": self.label,
            "drm_pkcs11_pin_file": self.pin_file,
        }


def prepare(folder: Path) -> Path:
    """Points SoftHSM at a folder, for this process and those that it starts. Returns the configuration file."""
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    return configuration


def new_token(configuration: Path, label: str) -> Token:
    """Makes a token."""
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "13579246"],
        check=True,
        capture_output=True,
        env={**os.environ, "SOFTHSM2_CONF": str(configuration)},
    )
    pin_file = configuration.parent / f"{label}.pin"
    pin_file.write_text(f"{PIN}\n")
    pin_file.chmod(0o600)
    return Token(label, pin_file, configuration)
