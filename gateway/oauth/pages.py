"""The one page that the gateway shows by itself: that something is wrong and nobody can be sent back."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.responses import HTMLResponse

_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Reelmesh</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }}
main {{ max-width: 34rem; margin: 15vh auto 0; padding: 0 1.5rem }}
h1 {{ font-size: 1.5rem; line-height: 1.2 }}
small {{ opacity: .7 }}
</style>
</head>
<body>
<main data-testid="oauth-error" data-error="{error}">
<h1>{title}</h1>
<p>{advice}</p>
<p><small>{detail}<br>Correlation id {correlation_id}</small></p>
</main>
</body>
</html>
"""


def error_page(
    status: int, error: str, detail: str, correlation_id: str, *, title: str = "", advice: str = ""
) -> HTMLResponse:
    """A page about an error. Everything that came with the request is escaped."""
    text = _PAGE.format(
        title=escape(title or "This app cannot be let in"),
        advice=escape(
            advice
            or "The app that sent you here asked in a way that is not safe, or is not known here. Tell its maker."
        ),
        error=escape(error),
        detail=escape(detail),
        correlation_id=escape(correlation_id),
    )
    return HTMLResponse(text, status, _HEADERS)
