"""The hosted page, which looks like the product's own. No script is needed: buttons are those of forms."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from services.payments.processors.amounts import decimal
from services.payments.processors.contract import Amount

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; form-action *; base-uri 'none'; frame-ancestors 'none'"
"""The buyer goes back to the shop by way of a form, so forms may lead anywhere."""
_STYLE: Final = """
:root { color-scheme: dark light; --ground: #101114; --surface: #181a1f; --line: #31353d; --strong: #6f7580; --ink: #f3f2ef; --soft: #b9bcc3;
  --accent: #ffb224; --on: #201500; --bad: #ff8d84; --ok: #56cf95; --focus: #8cc8ff; }
@media (prefers-color-scheme: light) { :root { --ground: #f6f5f1; --surface: #fff; --line: #dcd9d0; --strong: #84817a; --ink: #1a1b1e;
  --soft: #50535a; --bad: #ab2a20; --ok: #15703f; --focus: #1457b8; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100dvh; display: grid; place-items: center; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 "Inter", -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { width: 100%; max-width: 26rem; padding: 1.5rem; border: 1px solid var(--line); border-radius: 16px; background: var(--surface); }
h1 { margin: 0 0 .25rem; font-size: 1.25rem; line-height: 1.3; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; color: var(--soft); }
.price { margin: 0 0 1.5rem; color: var(--ink); font-size: 2rem; font-weight: 650; letter-spacing: -.02em; }
.notice { padding: .6rem .8rem; border-radius: 10px; border: 1px dashed var(--strong); font-size: .875rem; }
.good { color: var(--ok); } .bad { color: var(--bad); }
form { display: grid; gap: .75rem; margin: 0 0 .75rem; }
button, .button { min-height: 2.75rem; padding: 0 1rem; border: 1px solid var(--strong); border-radius: 10px; background: none; color: var(--ink);
  font: 600 1rem/1 inherit; font-family: inherit; cursor: pointer; text-align: center; text-decoration: none; display: flex; align-items: center;
  justify-content: center; }
button.primary, .button.primary { background: var(--accent); border-color: transparent; color: var(--on); }
button.danger { border-color: var(--bad); color: var(--bad); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
"""


def payment(page: Mapping[str, Any], *, declined: bool = False) -> str:
    """A page to be paid on."""
    said = (
        '<p role="alert" class="bad">The payment was declined. Nothing was charged; you can try again.</p>'
        if declined
        else ""
    )
    return _page(
        f"Pay for {page['title']}",
        f"""<h1>{escape(page["title"])}</h1>
<p class="price">{_price(page)}</p>{said}
<form method="post"><button class="primary" name="action" value="approve">Pay {_price(page)}</button>
<button name="action" value="decline">Let it be declined</button></form>
<a class="button" href="{escape(page["cancel_url"])}">Cancel and go back</a>""",
    )


def receipt(page: Mapping[str, Any], sale: Mapping[str, Any]) -> str:
    """A page that was paid on."""
    left = sale["minor_units"] - sale["refunded"]
    said = (
        '<p role="status" class="good">Paid.</p>'
        if left
        else '<p role="status">Refunded. The money is on its way back.</p>'
    )
    back = (
        '<form method="post"><button class="danger" name="action" value="refund">Refund it</button>'
        '<button class="danger" name="action" value="chargeback">Charge it back</button></form>'
        if left
        else ""
    )
    return _page(
        f"Paid for {page['title']}",
        f"""<h1>{escape(page["title"])}</h1><p class="price">{_price(page)}</p>{said}{back}
<a class="button primary" href="{escape(page["return_url"])}">Back to where you came from</a>""",
    )


def missing() -> str:
    """There is no such page."""
    return _page("No such page", "<h1>There is no such page</h1><p>Go back to where you came from and buy again.</p>")


def _price(page: Mapping[str, Any]) -> str:
    return escape(f"{decimal(Amount(page['minor_units'], page['currency']))} {page['currency']}")


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><main>{body}
<p class="notice">This is a stand-in for a payment processor. It moves no money and asks for no card.</p></main></body></html>"""
