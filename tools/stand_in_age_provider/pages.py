"""The hosted page. No script is needed: buttons are those of a form."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; form-action *; base-uri 'none'; frame-ancestors 'none'"
"""The viewer goes back by way of a form, so forms may lead anywhere."""
_STYLE: Final = """
:root { color-scheme: dark light; --ground: #101114; --surface: #181a1f; --line: #31353d; --strong: #6f7580; --ink: #f3f2ef; --soft: #b9bcc3;
  --accent: #ffb224; --on: #201500; --bad: #ff8d84; --focus: #8cc8ff; }
@media (prefers-color-scheme: light) { :root { --ground: #f6f5f1; --surface: #fff; --line: #dcd9d0; --strong: #84817a; --ink: #1a1b1e;
  --soft: #50535a; --bad: #ab2a20; --focus: #1457b8; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100dvh; display: grid; place-items: center; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 "Inter", -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { width: 100%; max-width: 26rem; padding: 1.5rem; border: 1px solid var(--line); border-radius: 16px; background: var(--surface); }
h1 { margin: 0 0 .25rem; font-size: 1.25rem; line-height: 1.3; }
p { margin: 0 0 1rem; color: var(--soft); }
.notice { margin: 1rem 0 0; padding: .6rem .8rem; border-radius: 10px; border: 1px dashed var(--strong); font-size: .875rem; }
.bad { color: var(--bad); }
form { display: grid; gap: .75rem; }
button { min-height: 2.75rem; padding: 0 1rem; border: 1px solid var(--strong); border-radius: 10px; background: none; color: var(--ink);
  font: 600 1rem/1 inherit; font-family: inherit; cursor: pointer; }
button.primary { background: var(--accent); border-color: transparent; color: var(--on); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
"""


def question(asked: Mapping[str, Any], *, troubled: bool = False) -> str:
    """A page to prove an age on."""
    age, method = int(asked["threshold"]), escape(str(asked["method"]))
    said = (
        '<p role="alert" class="bad">The platform could not be told. Nothing was decided; try again.</p>'
        if troubled
        else ""
    )
    return _page(
        f"Prove that you are {age}",
        f"""<h1>Prove that you are at least {age}</h1><p>Asked for: {method}.</p>{said}
<form method="post"><button class="primary" name="result" value="over">I am {age} or older</button>
<button name="result" value="under">I am younger</button>
<button name="result" value="unsure">It cannot be told</button></form>""",
    )


def missing() -> str:
    """There is no such page."""
    return _page("No such page", "<h1>There is no such page</h1><p>Go back to where you came from and begin again.</p>")


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><main>{body}
<p class="notice">This is a stand-in for a provider of proofs of age. It believes you, and asks for no document.</p></main></body></html>"""
