"""What somebody sends who means harm, or does not know what they are doing."""

from __future__ import annotations

from typing import Final

LONE_SURROGATE: Final = "\ue0ff"
"""Stands for U+D800, which no text can hold and UTF-8 cannot say. `on_the_wire` puts its three bytes in this one's place."""
_SURROGATE_BYTES: Final = b"\xed\xa0\x80"

TEXTS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    LONE_SURROGATE,
    "\uffff",
    "\ufeffmark",
    "\u202egnp.exe",
    "مرحبا שלום",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "e" + "\u0301" * 300,
    "İıßſK",
    "٣٤",
    "'; DROP TABLE uploads; --",
    "' OR '1'='1",
    "%_\\",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "/p/%2e%2e/%00",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "${jndi:ldap://x/a}",
    "{{7*7}}%s%n{0.__class__}",
    "<script>alert(1)</script>",
    "a\r\nset-cookie: b=c",
    "\x1b[2J\x07",
    "-1",
    "1e309",
    "NaN",
    "null",
    "[]",
    "*",
    "@",
    "a@b",
    "a@" + "b" * 64 + ".example",
    "+0000000000000000",
    "eyJhbGciOiJub25lIn0.e30.",
    "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.AAAA",
    "rmk_" + "A" * 43,
    "usr_7" + "z" * 25,
    "AAAA====",
    "x" * 255,
    "x" * 1024,
    "é" * 4096,
    "x" * 100_000,
)
WHOLE_NUMBERS: Final = (
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    2**15,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**53,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
)
FRACTIONS: Final = (0.0, -0.0, 1.5, -1.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"))
BYTES: Final = (b"", b"\0", b"\xff" * 16, b"\0" * 32, b"{}", b"\x30\x82\xff\xff", b"x" * 65_537)
SECONDS: Final = (
    0,
    1,
    -1,
    86_400,
    253_402_300_799,
    253_402_300_800,
    -62_135_596_800,
    -62_135_596_801,
    315_576_000_001,
    2**63 - 1,
    -(2**63),
)
NANOSECONDS: Final = (0, 1, 999_999_999, 10**9, -1, 2**31 - 1, -(2**31))
FIELD_PATHS: Final = (
    "",
    "*",
    ".",
    "a.b",
    "a" + ".a" * 2000,
    "_",
    "Title",
    "title,title",
    "1",
    "asset.title",
    "etag",
    LONE_SURROGATE,
    "\0",
    "x" * 50_000,
)
UNKNOWN_FIELDS: Final = (
    b"",
    b"",
    b"",
    b"\xf8\xff\xff\xff\x0f\x01",  # field 2^29 - 1, a number
    b"\xc2\x3e\x04abcd",  # field 1000, bytes
    b"\xc3\x3e" * 40 + b"\xc4\x3e" * 40,  # groups within groups
    b"\xc3\x3e" * 200 + b"\xc4\x3e" * 200,  # more of them than any parser takes
)
CREDENTIALS: Final = (
    "",
    "Bearer",
    "Bearer ",
    "bearer  x",
    "Basic dXNlcjpwYXNz",
    "DPoP x",
    "Bearer rmk_",
    "Bearer rmk_" + "A" * 43,
    "Bearer " + "x" * 4000,
    "Bearer a.b.c",
    "Bearer eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJub25lIn0.e30.",
    "Bearer eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiIsImtpZCI6W119.e30.AAAA",
    "Bearer eyJhbGciOiJFUzI1NiJ9.W10.AAAA",
    "Bearer eyJ0eXAiOltdfQ.e30.",
    "Bearer W10.e30.",
    "Bearer bnVsbA.e30.",
)


def on_the_wire(encoded: bytes) -> bytes:
    """An encoded message with the surrogates that its texts stand for."""
    return encoded.replace(LONE_SURROGATE.encode(), _SURROGATE_BYTES)
