"""Signatures: what is signed here verifies, and no trick makes something else out of it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from lxml import etree

from services.drm.cpix import answering, markup, signatures
from services.drm.cpix.faults import SignatureInvalid
from services.drm.cpix.markup import CPIX, DS
from tests.drm.cpix.certificates import Holder, holder
from tests.drm.cpix.requests import asked, request, tree

C = f"{{{CPIX}}}"
D = f"{{{DS}}}"


def signed(by: Holder | None = None) -> etree._Element:
    """A request that is signed as a whole, as it comes over the wire."""
    by = by or holder(1)
    root = tree()
    signatures.sign(root, by.certificate, by.key)
    return markup.read(markup.written(root))


def over_the_wire(root: etree._Element) -> etree._Element:
    return markup.read(markup.written(root))


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_signed_document_verifies_with_the_certificate_of_its_signer(kind: str) -> None:
    by = holder(1, kind)
    root = signed(by)
    (verified,) = signatures.verify_whole(root, [holder(2).der, by.der])
    assert (verified.covers, verified.certificate) == (root, by.der)
    assert answering.read(markup.written(root), "2.0").signed


def test_the_certificate_within_the_document_is_not_believed() -> None:
    """Whoever can write a document can put a certificate into it."""
    with pytest.raises(SignatureInvalid, match="of nobody who may sign here"):
        signatures.verify_whole(signed(), [holder(2).der])
    with pytest.raises(SignatureInvalid, match="of nobody who may sign here"):
        signatures.verify_whole(signed(), [])
    # With the name of somebody who may, and one's own signature.
    root = signed(holder(3))
    for element in root.iter(f"{D}X509Certificate"):
        element.text = markup.to_base64(holder(1).der)
    with pytest.raises(SignatureInvalid, match="A signature is not good"):
        signatures.verify_whole(over_the_wire(root), [holder(1).der])


def test_a_signature_that_names_nobody_is_tried_with_all_who_may_sign() -> None:
    root = signed()
    (info,) = root.iter(f"{D}KeyInfo")
    info.getparent().remove(info)  # type: ignore[union-attr]  # it has one
    (verified,) = signatures.verify_whole(over_the_wire(root), [holder(2).der, holder(1).der])
    assert verified.certificate == holder(1).der


def test_a_document_without_a_signature_of_the_whole_is_not_signed() -> None:
    with pytest.raises(SignatureInvalid, match="No signature covers the whole document"):
        signatures.verify_whole(tree(), [holder(1).der])


def change_content_id(root: etree._Element) -> None:
    root.set("contentId", "another film")


def change_key_id(root: etree._Element) -> None:
    next(root.iter(f"{C}ContentKey")).set("kid", "00000000-0000-4000-8000-000000000000")


def add_recipient(root: etree._Element) -> None:
    recipients = tree(asked(recipients=(holder(9).der,))).find(f"{C}DeliveryDataList")
    assert recipients is not None
    root.insert(0, recipients)


def declare_namespace(root: etree._Element) -> None:
    """As in a vector of the DASH Industry Forum: it changes nothing but what is signed."""
    new = etree.SubElement(root, f"{C}UpdateHistoryItemList", nsmap={"more": "urn:more"})
    root.remove(new)
    root.set("{urn:more}x", "1")


@pytest.mark.parametrize("change", [change_content_id, change_key_id, add_recipient, declare_namespace])
def test_whatever_is_changed_breaks_the_signature(change: Callable[[etree._Element], None]) -> None:
    root = signed()
    change(root)
    with pytest.raises(SignatureInvalid, match="A signature is not good"):
        signatures.verify_whole(over_the_wire(root), [holder(1).der])


def sign_list(root: etree._Element, name: str, by: Holder) -> etree._Element:
    """Signs one list of a document, as CPIX provides."""
    import xmlsec

    found = root.find(f"{C}{name}")
    assert found is not None
    found.set("id", name)
    signature = xmlsec.template.create(root, xmlsec.constants.TransformInclC14N, xmlsec.constants.TransformRsaSha256)
    root.append(signature)
    xmlsec.template.add_reference(signature, xmlsec.constants.TransformSha256, uri=f"#{name}")
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(by.key_pem, xmlsec.constants.KeyDataFormatPem)
    context.register_id(found, "id")
    context.sign(signature)
    return signature


def test_a_list_can_be_signed_but_not_instead_of_the_document() -> None:
    root = tree()
    sign_list(root, "ContentKeyList", holder(1))
    root = over_the_wire(root)
    (verified,) = signatures.verify(root, [holder(1).der])
    assert verified.covers is root.find(f"{C}ContentKeyList")
    with pytest.raises(SignatureInvalid, match="No signature covers the whole document"):
        signatures.verify_whole(root, [holder(1).der])


class TestWrapping:
    """A signed element is moved to where nobody looks, and another put in its place."""

    def wrapped(self, put_away: Callable[[etree._Element, etree._Element], None]) -> etree._Element:
        root = tree()
        sign_list(root, "ContentKeyList", holder(1))
        original = root.find(f"{C}ContentKeyList")
        assert original is not None
        forged = copy.deepcopy(original)
        forged[0].set("kid", "00000000-0000-4000-8000-000000000000")
        root.replace(original, forged)
        put_away(root, original)
        return over_the_wire(root)

    def test_two_elements_with_one_id_are_refused(self) -> None:
        def beside(root: etree._Element, original: etree._Element) -> None:
            root.append(original)

        with pytest.raises(SignatureInvalid, match="An id is there twice"):
            signatures.verify(self.wrapped(beside), [holder(1).der])

    @pytest.mark.parametrize("place", [f"{D}Object", f"{C}DRMSystem", "{urn:anything}Box"])
    def test_a_signed_element_elsewhere_than_in_its_place_is_refused(self, place: str) -> None:
        def within(root: etree._Element, original: etree._Element) -> None:
            forged = root.find(f"{C}ContentKeyList")
            assert forged is not None
            del forged.attrib["id"]
            signature = root.find(f"{D}Signature")
            assert signature is not None
            holder_of_it = etree.SubElement(signature if place == f"{D}Object" else root, place)
            holder_of_it.append(original)

        with pytest.raises(SignatureInvalid, match="something else than the document or one of its lists"):
            signatures.verify(self.wrapped(within), [holder(1).der])

    def test_a_whole_signed_document_within_another_is_refused(self) -> None:
        outer = tree(asked(content_id="another film"))
        etree.SubElement(outer, "{urn:anything}Box").append(signed())
        with pytest.raises(SignatureInvalid, match="stands where none belongs"):
            signatures.verify_whole(over_the_wire(outer), [holder(1).der])

    def test_a_signature_that_was_moved_out_of_its_document_is_refused(self) -> None:
        outer = tree(asked(content_id="another film"))
        signature = signed().find(f"{D}Signature")
        assert signature is not None
        outer.append(signature)
        with pytest.raises(SignatureInvalid, match="A signature is not good"):
            signatures.verify_whole(over_the_wire(outer), [holder(1).der])


XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
XSLT = "http://www.w3.org/TR/1999/REC-xslt-19991116"


@pytest.mark.parametrize(
    ("element", "attribute", "value"),
    [
        ("SignatureMethod", "Algorithm", "http://www.w3.org/2000/09/xmldsig#hmac-sha1"),
        ("SignatureMethod", "Algorithm", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"),
        ("SignatureMethod", "Algorithm", "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        ("DigestMethod", "Algorithm", "http://www.w3.org/2000/09/xmldsig#sha1"),
        ("CanonicalizationMethod", "Algorithm", XSLT),
        ("Transform", "Algorithm", XPATH),
        ("Transform", "Algorithm", XSLT),
        ("Reference", "URI", "http://127.0.0.1:9/document.xml"),
        ("Reference", "URI", "file:///etc/passwd"),
        ("Reference", "URI", "#xpointer(/)"),
        ("Reference", "URI", "#nowhere"),
    ],
)
def test_what_a_signature_asks_for_beyond_the_lists_is_not_done(element: str, attribute: str, value: str) -> None:
    root = signed()
    next(root.iter(f"{D}{element}")).set(attribute, value)
    with pytest.raises(SignatureInvalid):
        signatures.verify_whole(over_the_wire(root), [holder(1).der])


def test_a_reference_without_a_target_or_several_of_them_are_refused() -> None:
    root = signed()
    reference = next(root.iter(f"{D}Reference"))
    del reference.attrib["URI"]
    with pytest.raises(SignatureInvalid, match="outside of the document"):
        signatures.verify_whole(over_the_wire(root), [holder(1).der])
    root = signed()
    reference = next(root.iter(f"{D}Reference"))
    reference.addnext(copy.deepcopy(reference))
    with pytest.raises(SignatureInvalid, match="more than one ds:Reference"):
        signatures.verify_whole(over_the_wire(root), [holder(1).der])


def test_one_bad_signature_spoils_the_good_ones() -> None:
    root = tree()
    sign_list(root, "ContentKeyList", holder(3))
    signatures.sign(root, holder(1).certificate, holder(1).key)
    whole = over_the_wire(root)
    assert len(signatures.verify_whole(whole, [holder(1).der, holder(3).der])) == 2
    with pytest.raises(SignatureInvalid, match="A signature is not good"):
        signatures.verify_whole(over_the_wire(root), [holder(1).der])


def test_more_signatures_than_anybody_needs_are_not_looked_at() -> None:
    root = tree()
    root.extend(etree.Element(f"{D}Signature") for _ in range(signatures.MOST_SIGNATURES + 1))
    with pytest.raises(SignatureInvalid, match="more than"):
        signatures.verify(root, [holder(1).der])


def test_a_document_that_is_not_signed_is_not_taken_for_one() -> None:
    assert not answering.read(request(), "2.0").signed
