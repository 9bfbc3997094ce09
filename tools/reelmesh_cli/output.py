"""How the command speaks: text for people, one JSON object for programs, and an exit status that tells which kind of trouble.

Exit status: 0 done; 1 it was tried and failed; 2 wrong usage; 3 a server refused the call; 4 nobody answers; 130 Ctrl-C.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_UNREACHABLE = 4
EXIT_INTERRUPTED = 130

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]

Result = TypeVar("Result")
_STANDINGS = {4: "deleted", 6: "held for review, and goes on by itself if it is released"}
"""Numbers of the contract's `AssetState`, which need not be loaded for them."""


@dataclass(slots=True)
class Output:
    """Where results go. With `as_json`, people's text goes nowhere and only `result` and `fail` print."""

    as_json: bool = False
    people: Console = field(default_factory=lambda: Console(highlight=False))
    errors: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    @property
    def live(self) -> bool:
        """Whether something may move on the screen."""
        return not self.as_json and self.people.is_terminal

    def say(self, text: str = "") -> None:
        """A line for people."""
        if not self.as_json:
            self.people.print(text, soft_wrap=True)

    def result(self, **fields: Any) -> None:
        """The result for programs."""
        if self.as_json:
            sys.stdout.write(json.dumps(fields) + "\n")
            sys.stdout.flush()

    def fail(self, message: str, status: int = EXIT_FAILED, **facts: Any) -> NoReturn:
        """Says what is wrong, and leaves."""
        if self.as_json:
            self.result(error={"message": message} | facts)
        else:
            self.errors.print(f"[bold red]✗[/] {escape(message)}", soft_wrap=True)
            for name, value in facts.items():
                for part, said in value.items() if isinstance(value, dict) else [(name, value)]:
                    self.errors.print(f"  [dim]{part.replace('_', ' ')}:[/] {escape(str(said))}", soft_wrap=True)
        raise typer.Exit(status)


def run_call(output: Output, call: Coroutine[Any, Any, Result]) -> Result:
    """Runs a conversation with the mesh; what can go wrong in it becomes a message and an exit status, never a traceback."""
    from tools.reelmesh_sdk import AssetFailed, Refusal, Unreachable

    try:
        return asyncio.run(call)
    except Refusal as refusal:
        metadata = dict(refusal.metadata)
        output.fail(
            refusal.message or refusal.reason,
            EXIT_REFUSED,
            reason=refusal.reason,
            domain=refusal.domain,
            correlation_id=metadata.pop("correlation_id", ""),
            metadata=metadata,
            fields=dict(refusal.fields),
        )
    except Unreachable as error:
        output.fail(
            f"{error}. Is Reelmesh running? `reelmesh status` tells, `reelmesh up` starts it.", EXIT_UNREACHABLE
        )
    except AssetFailed as error:
        failure = error.asset.failure
        message = failure.message or f"The asset cannot be played: it is {_STANDINGS.get(error.asset.state, 'gone')}."
        output.fail(message, reason=failure.reason, asset_id=error.asset.asset_id)
    except OSError as error:
        output.fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    except EOFError as error:
        output.fail(f"{error}: send it again when nobody writes to it.")
    except KeyboardInterrupt:
        output.errors.print("Interrupted. The same command goes on where this one stopped.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
