"""Common Access Tokens (CTA-5007-B): CBOR Web Tokens (RFC 8392) that say what may be asked for, by whom, from where and until when.

The standard itself is not free. Numbers of claims and of their parts are those that public implementations agree on: Eyevinn/node-cat, the
Rust crate common-access-token and akamai/edgeworkers-examples; the registry is IANA's "CBOR Web Token (CWT) Claims". Whatever is not
understood here, and could restrict what a token is good for, is refused.
"""
