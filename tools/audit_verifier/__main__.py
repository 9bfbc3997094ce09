"""`python -m tools.audit_verifier FILE`: `reelmesh audit verify` for whoever has nothing else of Reelmesh."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tools.audit_verifier.note import Bad
from tools.audit_verifier.verifying import verified


def main() -> int:
    """Verifies; status 0 when all is good, 1 when something is wrong, 2 when nothing can be said."""
    parser = argparse.ArgumentParser(
        prog="audit_verifier", description="Verifies an export of the audit log, a folder of tiles or a proof."
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--key", default="", help="verifier key of the log")
    parser.add_argument("--checkpoint", type=Path, help="file with a checkpoint that was kept elsewhere")
    parser.add_argument("--witness", action="append", default=[], help="verifier key of a witness; may be repeated")
    parser.add_argument(
        "--bitcoin-header",
        action="append",
        default=[],
        help="header of a block of Bitcoin, 160 digits; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    try:
        verdict = verified(
            asked.path,
            key=asked.key,
            checkpoint=asked.checkpoint,
            witnesses=tuple(asked.witness),
            headers=tuple(asked.bitcoin_header),
        )
    except (Bad, OSError, UnicodeDecodeError) as error:
        print(json.dumps({"verified": False, "error": str(error)}) if asked.json else f"✗ {error}")
        return 2
    print(json.dumps(verdict.as_dict()) if asked.json else "\n".join(verdict.lines()))
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
