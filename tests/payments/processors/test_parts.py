"""What all adapters share."""

from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import ip_network

import pytest

from services.kit.errors import Refusal
from services.payments.processors import proofs, tariffs
from services.payments.processors.contract import Amount, ProcessorKind, Unreachable
from services.payments.processors.kinds import kinds
from services.payments.processors.outgoing import is_reference, page, pause, segment
from services.payments.processors.payloads import of_form, of_json
from services.payments.processors.redaction import kept, words
from services.payments.processors.scales import Scale
from tests.payments.processors.accounts import BTCPAY, NOW, SECRETS, SETTINGS, account, means

KINDS = kinds(btcpay_servers=[BTCPAY])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_kinds_name_what_their_accounts_have(kind: ProcessorKind) -> None:
    """Everything that an account of these tests has is named, and what is named is enough."""
    assert set(kind.settings) <= set(SETTINGS[kind.name]) <= {*kind.settings, *kind.optional_settings}
    assert set(kind.secrets) <= set(SECRETS[kind.name]) <= {*kind.secrets, *kind.optional_secrets}
    made = kind.make(account(kind.name), means())
    assert made.name == kind.name
    for secret in SECRETS[kind.name].values():
        assert secret not in repr(made)


def test_organisations_name_no_addresses() -> None:
    """Whoever could would have us call anybody inside. BTCPay's servers are the operator's to name."""
    for kind in KINDS.values():
        named = {name for name in (*kind.settings, *kind.optional_settings) if "url" in name}
        assert named == ({"url"} if kind.name == "btcpay" else set())
    with pytest.raises(ValueError, match="operator"):
        KINDS["btcpay"].make(account("btcpay", url="http://169.254.169.254"), means())
    assert "btcpay" not in kinds()


def test_a_live_account_at_adyen_says_where_it_is() -> None:
    """Its host begins with a prefix of its own, which is nothing but that."""
    for prefix in ("", "evil.example/", "a.b", "x@evil"):
        live = account("adyen", live_prefix=prefix)
        object.__setattr__(live, "test_mode", False)
        with pytest.raises(ValueError, match="live_prefix"):
            KINDS["adyen"].make(live, means())


def test_prices_and_their_codes() -> None:
    """As an operator writes them."""
    found = tariffs.of_setting("USD 9.99 = a; JPY 500=b\nEUR 0/3 9.99/30 = c;")
    assert found[tariffs.Price(Amount(999, "USD"))] == "a"
    assert found[tariffs.Price(Amount(500, "JPY"))] == "b"
    assert found[tariffs.Price(Amount(0, "EUR"), 3, Amount(999, "EUR"), 30)] == "c"
    for wrong in (
        "USD",
        "USD 9.99",
        "USD 9.99 =",
        "XXX 1 = a",
        "USD 9.999 = a",
        "USD NaN = a",
        "USD -1 = a",
        "USD 1e400 = a",
        "USD 1/3 2 = a",
        "USD 1/0 2/30 = a",
        "USD 1 = a; USD 1.00 = b",
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # each has words of its own
            tariffs.of_setting(wrong)


def test_networks_and_addresses() -> None:
    """IPv4 in IPv6 is IPv4; what is no address is from nowhere."""
    networks = proofs.networks_of({"source_networks": "192.0.2.0/24, 2001:db8::/32"}, [ip_network("10.0.0.0/8")])
    for good in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1"):
        proofs.check_source("x", good, networks)
    for bad in ("10.0.0.1", "", "localhost", "::1", "192.0.2.9:80"):
        with pytest.raises(Refusal, match="NOT_AUTHENTIC"):
            proofs.check_source("x", bad, networks)
    assert proofs.networks_of({}, networks) == networks
    proofs.check_source("x", "anything", ())


def test_moments_at_the_edge() -> None:
    """The last second is in, the next is not, either way."""
    edge = timedelta(seconds=300)
    for moment in (NOW - edge, NOW, NOW + edge, None):
        proofs.check_moment("x", moment, NOW)
    for moment in (NOW - edge - timedelta(seconds=1), NOW + edge + timedelta(seconds=1)):
        with pytest.raises(Refusal, match="OUT_OF_TIME"):
            proofs.check_moment("x", moment, NOW)


def test_what_is_kept_is_what_is_named() -> None:
    """Leaves only: an object under a name that is to be kept is not."""
    document = {
        "a": "1",
        "b": {"c": 2, "d": "secret"},
        "e": [{"f": True, "g": "secret"}, "x"],
        "h": {"i": "secret"},
        "j": "y" * 300,
    }
    assert json.loads(kept(document, ("a", "b.c", "e.f", "h", "j", "z", "a.b"))) == {
        "a": "1",
        "b": {"c": 2},
        "e": [{"f": True}, {}],
    }


def test_words_lose_addresses_and_numbers() -> None:
    """A processor's reason may quote the buyer."""
    assert words("refund for jane.doe@example.com, card 4111 1111 1111 1111") == "refund for … card …"
    assert words("Code BE-140\r\n") == "Code BE-140"
    assert words(None) == ""
    assert len(words("x" * 500)) == 200


def test_forms_say_one_thing_of_a_name() -> None:
    """In the query and the body together; the same twice is the same."""
    assert of_form("x", "a=1&b=", b"a=1&c=%C3%BC").fields == {"a": "1", "b": "", "c": "ü"}
    for query, body in (("a=1", b"a=2"), ("", b"a=%ff"), ("", b"&".join(b"a%d=1" % n for n in range(500)))):
        with pytest.raises(Refusal, match="MALFORMED"):
            of_form("x", query, body)


def test_json_is_an_object_of_finite_numbers() -> None:
    """And decimals stay as they were written."""
    assert of_json("x", b'{"a": 1.10}').fields == {"a": "1.10"}
    for body in (
        b"",
        b"[]",
        b"1",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"\xff",
        b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ):
        with pytest.raises(Refusal, match="MALFORMED"):
            of_json("x", body)


def test_texts_are_short_and_plain() -> None:
    """Whole numbers count as such; nothing else does."""
    node = of_json("x", b'{"a": 12, "b": true, "c": ["x"], "d": "\\u0000", "e": " y ", "f": null, "g": "\\u00fc"}')
    assert [node.text(name) for name in "aefz"] == ["12", "y", "", ""]
    for name in "bcdg":
        with pytest.raises(Refusal, match="MALFORMED"):
            node.text(name)
    with pytest.raises(Refusal, match="MALFORMED"):
        node.text("z", least=1)


def test_scales_there_and_back() -> None:
    """A processor's units are ours again, and what it does not count is not sent."""
    scale = Scale("x", {"ISK": 2, "IDR": 0})
    for amount, units in ((Amount(5, "ISK"), 500), (Amount(500, "IDR"), 5), (Amount(999, "USD"), 999)):
        assert scale.written(amount) == units
        assert scale.amount(units, amount.currency) == amount
    with pytest.raises(ValueError, match="fractions"):
        scale.written(Amount(501, "IDR"))
    wrong: tuple[tuple[object, str], ...] = ((501, "ISK"), (10**15, "IDR"), (1, "ZZZ"), (1.0, "USD"), (True, "USD"))
    for told, code in wrong:
        with pytest.raises(Refusal, match="MALFORMED"):
            scale.amount(told, code)


def test_references_pages_and_pauses() -> None:
    """Nothing of an answer leads anywhere unseen."""
    assert segment("1000:7001/a=") == "1000%3A7001%2Fa%3D"
    for bad in ("", "..", "a b", "a?b", "a\n", "x" * 201, "ü"):
        assert not is_reference(bad)
        with pytest.raises(ValueError, match="reference"):
            segment(bad)
    assert page("https://pay.example.com/x?y") == "https://pay.example.com/x?y"
    for wrong in (
        None,
        7,
        "",
        "http://pay.example.com",
        "javascript:alert(1)",
        "//pay.example.com",
        "https://",
        "https://[::1",
    ):
        with pytest.raises(Unreachable):
            page(wrong)
    assert pause("7") == timedelta(seconds=7)
    assert pause("999999") == timedelta(hours=1)
    assert pause("Wed, 21 Oct 2026 07:28:00 GMT") is pause("-1") is pause("") is None
