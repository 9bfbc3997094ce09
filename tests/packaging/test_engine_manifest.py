"""The DASH side of a set."""

from __future__ import annotations

import base64
from pathlib import Path
from uuid import UUID

import pytest
from lxml import etree

from services.kit.pssh import read_pssh
from services.packaging import manifest
from services.packaging.engine import package
from services.packaging.tracks import Scheme, System
from tests.packaging.conftest import Finished
from tests.packaging.sets import KEYS, SCHEMES, PackagedSet, picture_only, whole_film
from tests.packaging.sources import SEGMENTS, Sources

CLEARKEY = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e"
COMMON = "urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b"
WIDEVINE = "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"
PLAYREADY = "urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95"
NAMES = {"d": manifest.MPD, "cenc": "urn:mpeg:cenc:2013"}


def read(made: PackagedSet) -> etree._Element:
    return manifest.parse((made.root / made.result.dash_path).read_bytes())


def found(element: etree._Element, path: str) -> list[etree._Element]:
    return element.findall(path, NAMES)


async def test_hls_and_dash_share_every_segment(finished: Finished) -> None:
    """One CMAF set: there is no media file that only one of the manifests names."""
    made = await finished(Scheme.CBCS)
    named = set(manifest.files(read(made)))
    media = {file for file in made.result.files if file.endswith((".m4s", ".mp4"))}
    assert media == {file for file in named if file.endswith((".m4s", ".mp4"))}
    for track in made.result.tracks:
        lines = made.text(f"{track.folder}/main.m3u8").splitlines()
        assert [line for line in lines if not line.startswith("#")] == [f"{n}.m4s" for n in range(1, SEGMENTS + 1)]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_each_kind_of_track_has_its_key_and_the_clearkey_descriptor(scheme: Scheme, finished: Finished) -> None:
    made = await finished(scheme)
    keys = {}
    for adaptation_set in found(read(made), ".//d:AdaptationSet"):
        protections = found(adaptation_set, "d:ContentProtection")
        if adaptation_set.get("contentType") not in {"video", "audio"}:
            assert not protections
            continue
        schemes = [element.get("schemeIdUri") for element in protections]
        assert schemes == ["urn:mpeg:dash:mp4protection:2011", CLEARKEY]
        assert protections[0].get("value") == scheme.value
        assert protections[1].get("value") == "ClearKey1.0"
        assert len(protections[1]) == 0  # a Laurl or PSSH sends Shaka Player or dash.js astray
        for template in found(adaptation_set, ".//d:SegmentTemplate"):
            keys[template.get("initialization")] = protections[0].get(f"{{{NAMES['cenc']}}}default_KID")
    assert keys == {
        "video/360p/init.mp4": str(UUID(bytes=KEYS["HD"].key_id)),
        "video/180p/init.mp4": str(UUID(bytes=KEYS["SD"].key_id)),
        "audio/fr/init.mp4": str(UUID(bytes=KEYS["AUDIO"].key_id)),
        "audio/en/init.mp4": str(UUID(bytes=KEYS["AUDIO"].key_id)),
        "audio/en-6ch/init.mp4": str(UUID(bytes=KEYS["AUDIO"].key_id)),
    }


async def test_video_sets_of_different_keys_are_tied_together_for_switching(finished: Finished) -> None:
    """DASH-IF IOP §3.8: without it a player would stay with the rung that it began with."""
    root = read(await finished(Scheme.CBCS))
    video = found(root, ".//d:AdaptationSet[@contentType='video']")
    switching = [
        element.get("value")
        for adaptation_set in video
        for element in found(adaptation_set, "d:SupplementalProperty")
        if element.get("schemeIdUri") == "urn:mpeg:dash:adaptation-set-switching:2016"
    ]
    assert switching == [video[1].get("id"), video[0].get("id")]
    ids = [element.get("id") for element in found(root, ".//d:AdaptationSet")]
    assert len(set(ids)) == len(ids)


async def test_each_sound_track_has_a_set_with_language_label_and_role(finished: Finished) -> None:
    """Players switch within a set as the line allows: stereo and 5.1 must not share one."""
    root = read(await finished(Scheme.CBCS))
    told = []
    for adaptation_set in found(root, ".//d:AdaptationSet[@contentType='audio']"):
        (representation,) = found(adaptation_set, "d:Representation")
        (channels,) = found(representation, "d:AudioChannelConfiguration")
        (label,) = found(adaptation_set, "d:Label")
        (role,) = found(adaptation_set, "d:Role")
        told.append((adaptation_set.get("lang"), channels.get("value"), label.text, role.get("value")))
    assert told == [
        ("en", "2", "English", "main"),
        ("en", "6", "English", "main"),
        ("fr", "2", 'Piste "VF", #EXT-X-KEY:METHOD=NONE', "dub"),
    ]


async def test_subtitles_are_files_beside_the_manifest(finished: Finished) -> None:
    root = read(await finished(Scheme.CBCS))
    told = [
        (
            element.get("lang"),
            element.get("mimeType"),
            found(element, "d:Role")[0].get("value"),
            found(element, "d:Representation/d:BaseURL")[0].text,
        )
        for element in found(root, ".//d:AdaptationSet[@contentType='text']")
    ]
    assert told == [
        ("en", "text/vtt", "subtitle", "text/en.vtt"),
        ("fr", "text/vtt", "forced-subtitle", "text/fr-forced.vtt"),
    ]


async def test_thumbnails_are_tiles(finished: Finished) -> None:
    """DASH-IF IOP v4.3 §6.2.6."""
    root = read(await finished(Scheme.CBCS))
    (images,) = found(root, ".//d:AdaptationSet[@contentType='image']")
    (template,) = found(images, "d:SegmentTemplate")
    assert (template.get("media"), template.get("duration"), template.get("timescale")) == (
        "thumbnails/$Number$.jpg",
        "4000",
        "1000",
    )
    (representation,) = found(images, "d:Representation")
    assert (representation.get("width"), representation.get("height")) == ("320", "180")
    (tile,) = found(representation, "d:EssentialProperty")
    assert (tile.get("schemeIdUri"), tile.get("value")) == ("http://dashif.org/thumbnail_tile", "2x2")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_pssh_of_the_asked_systems_are_kept_and_name_every_key(
    scheme: Scheme, sources: Sources, tmp_path: Path
) -> None:
    systems = frozenset({System.WIDEVINE, System.PLAYREADY, System.COMMON})
    result = await package(whole_film(sources, tmp_path, scheme=scheme, systems=systems))
    root = read(PackagedSet(tmp_path, whole_film(sources, tmp_path), result))
    for adaptation_set in found(root, ".//d:AdaptationSet[@contentType='video']"):
        boxes = {}
        for protection in found(adaptation_set, "d:ContentProtection"):
            for element in found(protection, "cenc:pssh"):
                (boxes[protection.get("schemeIdUri", "")],) = read_pssh(base64.b64decode(element.text or ""))
        assert set(boxes) == {WIDEVINE, PLAYREADY, COMMON}
        for scheme_id, box in boxes.items():
            assert scheme_id == f"urn:uuid:{UUID(bytes=box.system)}"
        assert set(boxes[COMMON].key_ids) == {key.key_id for key in KEYS.values()}
        for key in KEYS.values():
            assert key.key_id in boxes[WIDEVINE].data
        header = boxes[PLAYREADY].data[10:].decode("utf-16-le")
        assert header.startswith("<WRMHEADER")
        assert ("AESCBC" if scheme is Scheme.CBCS else "AESCTR") in header


async def test_systems_that_were_not_asked_for_are_not_signalled(sources: Sources, tmp_path: Path) -> None:
    result = await package(picture_only(sources, tmp_path, systems=frozenset({System.WIDEVINE})))
    root = manifest.parse((tmp_path / result.dash_path).read_bytes())
    schemes = {element.get("schemeIdUri") for element in found(root, ".//d:ContentProtection")}
    assert schemes == {"urn:mpeg:dash:mp4protection:2011", WIDEVINE}


async def test_in_the_clear_nothing_is_protected(finished: Finished) -> None:
    assert not found(read(await finished(Scheme.NONE)), ".//d:ContentProtection")


async def test_elements_stand_in_the_order_of_the_schema(finished: Finished) -> None:
    root = read(await finished(Scheme.CBCS))
    for adaptation_set in found(root, ".//d:AdaptationSet"):
        names = [etree.QName(element).localname for element in adaptation_set]
        expected = ["ContentProtection", "SupplementalProperty", "Label", "Role", "SegmentTemplate", "Representation"]
        assert names == sorted(names, key=expected.index)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not xml",
        b"<MPD/>",
        b'<other xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
        b'<!DOCTYPE MPD><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
        b'<!DOCTYPE MPD [<!ENTITY a SYSTEM "file:///etc/passwd">]><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">&a;</MPD>',
        b'<!DOCTYPE MPD SYSTEM "http://127.0.0.1:9/x.dtd"><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>',
        b'<!DOCTYPE MPD [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]><MPD>&c;</MPD>',
    ],
)
def test_documents_with_a_type_or_another_root_are_refused(document: bytes) -> None:
    with pytest.raises(manifest.ManifestError):
        manifest.parse(document)
