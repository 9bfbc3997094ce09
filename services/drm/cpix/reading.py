"""A CPIX document, out of XML. The order of children means nothing; only what lies where the schema wants it is looked at."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from lxml import etree

from services.drm.cpix import markup, schema
from services.drm.cpix.document import (
    AudioFilter,
    BitrateFilter,
    Document,
    DrmSystem,
    Key,
    KeyPeriod,
    UsageRule,
    VideoFilter,
)
from services.drm.cpix.faults import Malformed

_IV_BYTES = 16


def read(data: bytes) -> Document:
    """What a document says.

    Raises:
        Malformed: it is none.
    """
    root = markup.read(data)
    schema.judge(root)
    return document_of(root)


def document_of(root: etree._Element) -> Document:
    """What a document says whose shape was judged.

    Raises:
        Malformed: a value in it cannot be one.
    """
    document = Document(
        content_id=root.get("contentId", ""),
        version=root.get("version", ""),
        name=root.get("name", ""),
        recipients=tuple(certificate_of(data) for data in listed(root, "DeliveryDataList", "DeliveryData")),
        keys=tuple(_key(element) for element in listed(root, "ContentKeyList", "ContentKey")),
        systems=tuple(_system(element) for element in listed(root, "DRMSystemList", "DRMSystem")),
        periods=tuple(_period(element) for element in listed(root, "ContentKeyPeriodList", "ContentKeyPeriod")),
        rules=tuple(_rule(element) for element in listed(root, "ContentKeyUsageRuleList", "ContentKeyUsageRule")),
    )
    _check_unique("ContentKey@kid", [key.key_id for key in document.keys])
    _check_unique("DRMSystem", [(system.system_id, system.key_id) for system in document.systems])
    _check_unique("ContentKeyPeriod@id", [period.period_id for period in document.periods if period.period_id])
    return document


def listed(root: etree._Element, collection: str, name: str) -> list[etree._Element]:
    """The elements of one of the document's lists; none when it has no such list.

    Raises:
        Malformed: it has the list twice.
    """
    found = markup.only(root, f"cpix:{collection}")
    return [] if found is None else markup.children(found, f"cpix:{name}")


def certificate_of(delivery_data: etree._Element) -> bytes:
    """The certificate of a recipient, DER."""
    return markup.bytes_of(markup.required(delivery_data, "cpix:DeliveryKey/ds:X509Data/ds:X509Certificate"))


def _check_unique(what: str, values: list[object] | list[bytes] | list[str] | list[tuple[str, bytes]]) -> None:
    if len(set(values)) != len(values):
        raise Malformed(f"{what} is there more than once with one value")


def _key(element: etree._Element) -> Key:
    secret = markup.only(element, "cpix:Data")
    secret = None if secret is None else markup.only(secret, "pskc:Secret")
    plain = None if secret is None else markup.only(secret, "pskc:PlainValue")
    return Key(
        key_id=markup.key_id_of(element.get("kid"), "ContentKey@kid"),
        value=None if plain is None else markup.bytes_of(plain),
        scheme=element.get("commonEncryptionScheme", ""),
        explicit_iv=_iv(element.get("explicitIV")),
    )


def _iv(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return uuid.UUID(text).bytes if len(text) == 36 else _sixteen(text)
    except ValueError:
        raise Malformed("ContentKey@explicitIV is no base64 of 16 bytes") from None


def _sixteen(text: str) -> bytes:
    value = markup.from_base64(text.strip(), "ContentKey@explicitIV")
    if len(value) != _IV_BYTES:
        raise Malformed(f"ContentKey@explicitIV has {len(value)} bytes, not {_IV_BYTES}")
    return value


def _system(element: etree._Element) -> DrmSystem:
    def value(name: str) -> bytes | None:
        found = markup.only(element, f"cpix:{name}")
        return None if found is None else markup.bytes_of(found)

    smooth = markup.only(element, "cpix:SmoothStreamingProtectionHeaderData")
    return DrmSystem(
        system_id=markup.key_id_text(markup.key_id_of(element.get("systemId"), "DRMSystem@systemId")),
        key_id=markup.key_id_of(element.get("kid"), "DRMSystem@kid"),
        pssh=value("PSSH"),
        content_protection=value("ContentProtectionData"),
        hls=tuple(
            (found.get("playlist", "media"), markup.bytes_of(found))
            for found in markup.children(element, "cpix:HLSSignalingData")
        ),
        smooth_streaming=None if smooth is None else markup.text_of(smooth),
    )


def _period(element: etree._Element) -> KeyPeriod:
    return KeyPeriod(
        period_id=element.get("id", ""),
        index=_number(element, "index"),
        start=_moment(element, "start"),
        end=_moment(element, "end"),
    )


def _rule(element: etree._Element) -> UsageRule:
    return UsageRule(
        key_id=markup.key_id_of(element.get("kid"), "ContentKeyUsageRule@kid"),
        track_type=element.get("intendedTrackType", ""),
        periods=tuple(found.get("periodId", "") for found in markup.children(element, "cpix:KeyPeriodFilter")),
        labels=tuple(found.get("label", "") for found in markup.children(element, "cpix:LabelFilter")),
        video=tuple(_video(found) for found in markup.children(element, "cpix:VideoFilter")),
        audio=tuple(
            AudioFilter(_number(found, "minChannels"), _number(found, "maxChannels"))
            for found in markup.children(element, "cpix:AudioFilter")
        ),
        bitrates=tuple(
            BitrateFilter(_number(found, "minBitrate"), _number(found, "maxBitrate"))
            for found in markup.children(element, "cpix:BitrateFilter")
        ),
    )


def _video(element: etree._Element) -> VideoFilter:
    return VideoFilter(
        min_pixels=_number(element, "minPixels"),
        max_pixels=_number(element, "maxPixels"),
        hdr=_truth(element, "hdr"),
        wcg=_truth(element, "wcg"),
        min_fps=_number(element, "minFps"),
        max_fps=_number(element, "maxFps"),
    )


def _number(element: etree._Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    if len(text) > 20:  # no pixels, channels or periods are counted so far
        raise Malformed(f"{markup.name_of(element)}@{name} is too large")
    return int(text)


def _truth(element: etree._Element, name: str) -> bool | None:
    text = element.get(name)
    return None if text is None else text.strip() in {"true", "1"}


def _moment(element: etree._Element, name: str) -> datetime | None:
    text = element.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Malformed(f"{markup.name_of(element)}@{name} is no moment") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
