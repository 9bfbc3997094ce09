"""The DASH manifest (ISO/IEC 23009-1, DASH-IF IOP): the packager's MPD, with what it leaves out or gets wrong mended.

- The descriptors of the protection systems are those of `protection`. ClearKey's carries no `Laurl`: Shaka Player and
  dash.js resolve one against the page instead of the manifest, so a relative one would send the licence request astray.
  Players are told the address in the answer of `CreatePlayback`, which alone knows the ticket.
- Sound of another channel count gets an AdaptationSet of its own: players switch freely within one.
- Text tracks as plain WebVTT files, and thumbnails as DASH-IF tiles.
- A Period for each key period, see `periods`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Final

from lxml import etree

from services.packaging import periods as key_periods
from services.packaging import protection
from services.packaging.periods import KeyPeriod, TextFile
from services.packaging.protection import KeySignal
from services.packaging.tracks import Thumbnails

MPD: Final = protection.DASH
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_ROLE: Final = "urn:mpeg:dash:role:2011"
_TILE: Final = "http://dashif.org/thumbnail_tile"
_TRANSFER: Final = "urn:mpeg:mpegB:cicp:TransferCharacteristics"
_MP4_PROTECTION: Final = "urn:mpeg:dash:mp4protection:2011"
# The order that the schema asks for within an AdaptationSet (23009-1 §5.3.3.3).
_ORDER: Final = (
    "FramePacking",
    "AudioChannelConfiguration",
    "ContentProtection",
    "OutputProtection",
    "EssentialProperty",
    "SupplementalProperty",
    "InbandEventStream",
    "Switching",
    "RandomAccess",
    "GroupLabel",
    "Label",
    "ProducerReferenceTime",
    "Accessibility",
    "Role",
    "Rating",
    "Viewpoint",
    "ContentComponent",
    "BaseURL",
    "SegmentBase",
    "SegmentList",
    "SegmentTemplate",
    "Representation",
)
_TEXT_BITS: Final = 1_000


class ManifestError(ValueError):
    """The bytes are no MPD that we can read, or one that no packager of ours would write."""


@dataclass(frozen=True, slots=True)
class Described:
    """What the MPD says about one representation, over all Periods. `frame_rate` is 0 unless video."""

    folder: str
    codecs: str
    frame_rate: float
    segments: int
    key_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """How an audio representation is presented. `role` is a value of the DASH role scheme."""

    language: str
    label: str
    role: str


@dataclass(frozen=True, slots=True)
class Sheets:
    """Thumbnails beside the MPD: `media` is a template with `$Number$`, counted from 1."""

    thumbnails: Thumbnails
    media: str
    bits: int


def parse(document: bytes) -> etree._Element:
    """Reads an MPD. Refuses document types, and with them entities: nothing that we read needs them."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        remove_blank_text=True,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise ManifestError(f"the MPD is not well-formed: {error}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ManifestError("the MPD declares a document type")
    if root.tag != _name("MPD"):
        raise ManifestError(f"the root element is {root.tag}, not MPD")
    return root


def described(root: etree._Element) -> dict[str, Described]:
    """Folder → what the MPD says about the representation whose segments lie there."""
    found: dict[str, Described] = {}
    for adaptation_set in root.iter(_name("AdaptationSet")):
        for representation in adaptation_set.findall(_name("Representation")):
            template = representation.find(_name("SegmentTemplate"))
            if template is None or template.get("initialization") is None:
                continue
            folder = _folder(representation)
            rate = Fraction(representation.get("frameRate") or adaptation_set.get("frameRate") or "0")
            before = found.get(folder)
            found[folder] = Described(
                folder,
                representation.get("codecs", ""),
                float(rate),
                _timeline_length(template) + (before.segments if before else 0),
                (before.key_ids if before else ()) + _default_key_id(adaptation_set),
            )
    return found


def folders(adaptation_set: etree._Element) -> list[str]:
    """The folders of its representations' segments."""
    return [_folder(representation) for representation in adaptation_set.findall(_name("Representation"))]


def files(root: etree._Element) -> list[str]:
    """Every file that the MPD names, thumbnails excepted, relative to it."""
    named = [(element.text or "").strip() for element in root.iter(_name("BaseURL"))]
    for template in root.iter(_name("SegmentTemplate")):
        initialization, media = template.get("initialization"), template.get("media", "")
        if initialization is None:
            continue
        first = int(template.get("startNumber", "1"))
        named.append(initialization)
        named += [media.replace("$Number$", str(first + index)) for index in range(_timeline_length(template))]
    return named


def finished(
    root: etree._Element,
    *,
    periods: Sequence[KeyPeriod],
    sounds: Mapping[str, SoundTrack],
    sheets: Sheets | None = None,
) -> bytes:
    """The MPD to publish.

    Args:
        root: the packager's, as `parse` read it. It is changed.
        periods: the key periods, at least one.
        sounds: folder → presentation, for each audio representation.
        sheets: thumbnails to add.
    """
    root.attrib.pop(f"{{{_XSI}}}schemaLocation", "")
    period = root.find(_name("Period"))
    if period is None:
        raise ManifestError("the packager wrote an MPD without a Period")
    for adaptation_set in period.findall(_name("AdaptationSet")):
        _signal(adaptation_set, periods[0].signals)
        if adaptation_set.get("contentType") == "audio":
            _split(adaptation_set, sounds)
    for text in periods[0].texts:
        period.append(_text_set(text))
    if sheets is not None:
        period.append(_image_set(sheets))
    renamed: dict[str, str] = {}
    sets = sorted(period.findall(_name("AdaptationSet")), key=_presented)
    for index, adaptation_set in enumerate(sets, start=1):
        renamed[adaptation_set.get("id", "")] = str(index)
        adaptation_set.set("id", str(index))
        adaptation_set[:] = sorted(adaptation_set, key=_schema_order)
        period.append(adaptation_set)
    _mend_switching(period, renamed)
    for index, representation in enumerate(period.iter(_name("Representation")), start=1):
        representation.set("id", str(index))
    key_periods.split(period, periods)
    etree.cleanup_namespaces(root, keep_ns_prefixes=["cenc", "mspr"])
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _signal(adaptation_set: etree._Element, signals: Mapping[str, KeySignal]) -> None:
    """Puts our descriptors in the place of the packager's. All representations of a set have the same key."""
    for element in adaptation_set.findall(_name("SupplementalProperty")):
        if element.get("schemeIdUri") == _TRANSFER and element.get("value") == "2":  # 2 means unspecified
            adaptation_set.remove(element)
    representation = adaptation_set.find(_name("Representation"))
    signal = None if representation is None else signals.get(_folder(representation))
    for element in adaptation_set.findall(_name("ContentProtection")):
        if element.get("schemeIdUri", "").lower() != _MP4_PROTECTION or signal is None:
            adaptation_set.remove(element)
        else:
            for descriptor in reversed(signal.descriptors()):
                element.addnext(descriptor)


def _split(adaptation_set: etree._Element, sounds: Mapping[str, SoundTrack]) -> None:
    """Gives each representation of an audio set a set of its own, with language, label and role."""
    for element in adaptation_set.findall(_name("Role")):
        adaptation_set.remove(element)
    originals = adaptation_set.findall(_name("Representation"))
    parent = adaptation_set.getparent()
    if parent is None:
        return
    for original in originals:
        alone = copy.deepcopy(adaptation_set)
        kept = alone.findall(_name("Representation"))[originals.index(original)]
        for representation in alone.findall(_name("Representation")):
            if representation is not kept:
                alone.remove(representation)
        sound = sounds[_folder(original)]
        alone.set("lang", sound.language)
        if sound.label:
            etree.SubElement(alone, _name("Label")).text = sound.label
        etree.SubElement(alone, _name("Role"), {"schemeIdUri": _ROLE, "value": sound.role})
        parent.append(alone)
    parent.remove(adaptation_set)


def _text_set(text: TextFile) -> etree._Element:
    element = etree.Element(
        _name("AdaptationSet"), {"contentType": "text", "mimeType": "text/vtt", "lang": text.language}
    )
    if text.label:
        etree.SubElement(element, _name("Label")).text = text.label
    role = "forced-subtitle" if text.forced else "subtitle"
    etree.SubElement(element, _name("Role"), {"schemeIdUri": _ROLE, "value": role})
    representation = etree.SubElement(element, _name("Representation"), {"bandwidth": str(_TEXT_BITS)})
    etree.SubElement(representation, _name("BaseURL")).text = text.path
    return element


def _image_set(sheets: Sheets) -> etree._Element:
    """Thumbnails by DASH-IF IOP v4.3 §6.2.6: one segment is one sheet."""
    thumbnails = sheets.thumbnails
    sheet_milliseconds = round(thumbnails.interval * thumbnails.columns * thumbnails.rows * 1000)
    element = etree.Element(_name("AdaptationSet"), {"contentType": "image", "mimeType": "image/jpeg"})
    etree.SubElement(
        element,
        _name("SegmentTemplate"),
        {"media": sheets.media, "duration": str(sheet_milliseconds), "timescale": "1000", "startNumber": "1"},
    )
    representation = etree.SubElement(
        element,
        _name("Representation"),
        {
            "bandwidth": str(sheets.bits),
            "width": str(thumbnails.tile_width * thumbnails.columns),
            "height": str(thumbnails.tile_height * thumbnails.rows),
        },
    )
    tiles = f"{thumbnails.columns}x{thumbnails.rows}"
    etree.SubElement(representation, _name("EssentialProperty"), {"schemeIdUri": _TILE, "value": tiles})
    return element


def _mend_switching(period: etree._Element, renamed: Mapping[str, str]) -> None:
    """The packager ties video sets of different keys together by their ids, which have just changed."""
    for element in period.iter(_name("SupplementalProperty")):
        if element.get("schemeIdUri") == "urn:mpeg:dash:adaptation-set-switching:2016":
            ids = [renamed.get(name.strip(), "") for name in element.get("value", "").split(",")]
            element.set("value", ",".join(filter(None, ids)))


def _presented(adaptation_set: etree._Element) -> tuple[int, int]:
    kinds = ["video", "audio", "text", "image"]
    main = any(element.get("value") == "main" for element in adaptation_set.findall(_name("Role")))
    return kinds.index(adaptation_set.get("contentType", "image")), 0 if main else 1


def _schema_order(element: etree._Element) -> int:
    name = etree.QName(element).localname
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _default_key_id(adaptation_set: etree._Element) -> tuple[str, ...]:
    for element in adaptation_set.iter(_name("ContentProtection")):
        key_id = element.get("{urn:mpeg:cenc:2013}default_KID")
        if key_id:
            return (key_id.replace("-", "").lower(),)
    return ()


def _folder(representation: etree._Element) -> str:
    template = representation.find(_name("SegmentTemplate"))
    return "" if template is None else str(PurePosixPath(template.get("initialization", "")).parent)


def _timeline_length(template: etree._Element) -> int:
    return sum(int(element.get("r", "0")) + 1 for element in template.iter(_name("S")))


def _name(local: str) -> str:
    return f"{{{MPD}}}{local}"
