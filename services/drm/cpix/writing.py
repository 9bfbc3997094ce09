"""A CPIX document as XML, by the letter of the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from lxml import etree

from services.drm.cpix import markup
from services.drm.cpix.document import Document, DrmSystem, Key, KeyPeriod, UsageRule
from services.drm.cpix.markup import CPIX, DS, NAMESPACES, PSKC

Item = TypeVar("Item")


def written(document: Document) -> bytes:
    """A document whose keys stand in the clear; `delivery.encrypt` changes that of a tree."""
    return markup.written(tree_of(document))


def tree_of(document: Document) -> etree._Element:
    """A document as a tree. Lists that would be empty are left out."""
    root = etree.Element(f"{{{CPIX}}}CPIX", nsmap=NAMESPACES)
    _say(root, {"contentId": document.content_id, "name": document.name, "version": document.version})
    for parent, certificate in _within(root, "DeliveryDataList", document.recipients):
        add_recipient(parent, certificate)
    for parent, key in _within(root, "ContentKeyList", document.keys):
        _add_key(parent, key)
    for parent, system in _within(root, "DRMSystemList", document.systems):
        _add_system(parent, system)
    for parent, period in _within(root, "ContentKeyPeriodList", document.periods):
        _add_period(parent, period)
    for parent, rule in _within(root, "ContentKeyUsageRuleList", document.rules):
        _add_rule(parent, rule)
    return root


def add_recipient(parent: etree._Element, certificate: bytes) -> None:
    """Adds a `DeliveryData` for who holds the key of a certificate (DER)."""
    holder = _add(_add(parent, "DeliveryData"), "DeliveryKey")
    x509 = etree.SubElement(holder, f"{{{DS}}}X509Data")
    etree.SubElement(x509, f"{{{DS}}}X509Certificate").text = markup.to_base64(certificate)


def set_plain_value(content_key: etree._Element, value: bytes) -> None:
    """Says a key in the clear."""
    secret = etree.SubElement(_add(content_key, "Data"), f"{{{PSKC}}}Secret")
    etree.SubElement(secret, f"{{{PSKC}}}PlainValue").text = markup.to_base64(value)


def _within(root: etree._Element, collection: str, items: Sequence[Item]) -> list[tuple[etree._Element, Item]]:
    if not items:
        return []
    parent = _add(root, collection)
    return [(parent, item) for item in items]


def _add(parent: etree._Element, name: str, said: Mapping[str, object] | None = None) -> etree._Element:
    element = etree.SubElement(parent, f"{{{CPIX}}}{name}")
    _say(element, said or {})
    return element


def _say(element: etree._Element, said: Mapping[str, object]) -> None:
    """Sets attributes; what is empty or None is left out."""
    for name, value in said.items():
        match value:
            case None | "":
                continue
            case bool():
                element.set(name, "true" if value else "false")
            case datetime():
                element.set(name, value.astimezone(UTC).isoformat().replace("+00:00", "Z"))
            case bytes():
                element.set(name, markup.to_base64(value))
            case _:
                element.set(name, str(value))


def _add_key(parent: etree._Element, key: Key) -> None:
    said = {
        "kid": markup.key_id_text(key.key_id),
        "explicitIV": key.explicit_iv,
        "commonEncryptionScheme": key.scheme,
    }
    element = _add(parent, "ContentKey", said)
    if key.value is not None:
        set_plain_value(element, key.value)


def _add_system(parent: etree._Element, system: DrmSystem) -> None:
    element = _add(parent, "DRMSystem", {"systemId": system.system_id, "kid": markup.key_id_text(system.key_id)})
    if system.pssh is not None:
        _add(element, "PSSH").text = markup.to_base64(system.pssh)
    if system.content_protection is not None:
        _add(element, "ContentProtectionData").text = markup.to_base64(system.content_protection)
    for playlist, value in system.hls:
        _add(element, "HLSSignalingData", {"playlist": playlist}).text = markup.to_base64(value)
    if system.smooth_streaming is not None:
        _add(element, "SmoothStreamingProtectionHeaderData").text = system.smooth_streaming


def _add_period(parent: etree._Element, period: KeyPeriod) -> None:
    said = {"id": period.period_id, "index": period.index, "start": period.start, "end": period.end}
    _add(parent, "ContentKeyPeriod", said)


def _add_rule(parent: etree._Element, rule: UsageRule) -> None:
    said = {"kid": markup.key_id_text(rule.key_id), "intendedTrackType": rule.track_type}
    element = _add(parent, "ContentKeyUsageRule", said)
    for period in rule.periods:
        _add(element, "KeyPeriodFilter", {"periodId": period})
    for label in rule.labels:
        _add(element, "LabelFilter", {"label": label})
    for video in rule.video:
        bounds = {
            "minPixels": video.min_pixels,
            "maxPixels": video.max_pixels,
            "hdr": video.hdr,
            "wcg": video.wcg,
            "minFps": video.min_fps,
            "maxFps": video.max_fps,
        }
        _add(element, "VideoFilter", bounds)
    for audio in rule.audio:
        _add(element, "AudioFilter", {"minChannels": audio.min_channels, "maxChannels": audio.max_channels})
    for bitrate in rule.bitrates:
        _add(element, "BitrateFilter", {"minBitrate": bitrate.min_bitrate, "maxBitrate": bitrate.max_bitrate})
