"""Tiny masters of every kind, made once in a test run by the bundled ffmpeg; and files that only pretend to be
masters.

Pictures whose frames have to be told apart have a luma that tells the frame's number: see `numbered` and `numbers_in`.
"""

from __future__ import annotations

import functools
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from tests.support.shared import made_once

_FOLDER: Final = tempfile.TemporaryDirectory(prefix="reelmesh-clips-")
_CYCLE: Final = 13
_X264: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-pix_fmt", "yuv420p")


def folder() -> Path:
    """Where pretenders lie."""
    return Path(_FOLDER.name)


def ffmpeg(*arguments: str | Path) -> bytes:
    """Runs the bundled ffmpeg outside the sandbox: on our own inputs only."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def _made(name: str, *arguments: str | Path) -> Path:
    return made_once(f"clip-{name}", lambda target: ffmpeg(*arguments, target))


def _picture(seconds: float, size: str = "320x180", rate: str = "25") -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]


def _tone(seconds: float, frequency: int = 440, channels: str = "mono") -> list[str]:
    return ["-f", "lavfi", "-i", f"sine=f={frequency}:r=48000:d={seconds},aformat=channel_layouts={channels}"]


@functools.cache
def plain(seconds: int = 3, size: str = "320x180", rate: str = "25", suffix: str = "mp4") -> Path:
    """Picture and a tone."""
    name = f"plain-{seconds}-{size}-{rate.replace('/', '_')}.{suffix}"
    return _made(name, *_picture(seconds, size, rate), *_tone(seconds), *_X264, "-c:a", "aac")


@functools.cache
def faststart() -> Path:
    """As `plain`, with its index in front."""
    return _made("faststart.mp4", "-i", plain(), "-c", "copy", "-movflags", "+faststart")


@functools.cache
def silent() -> Path:
    """No sound."""
    return _made("silent.mp4", *_picture(2), *_X264)


@functools.cache
def sound_only() -> Path:
    """No picture."""
    return _made("sound.m4a", *_tone(1), "-c:a", "aac")


@functools.cache
def lasting_sound() -> Path:
    """One second of picture, four of sound."""
    return _made("lasting.mp4", *_picture(1), *_tone(4), *_X264, "-c:a", "aac")


@functools.cache
def without_timestamps() -> Path:
    """AVI counts frames and has no time of presentation; B-frames in it are out of order."""
    return _made("frames.avi", *_picture(2), "-c:v", "mpeg4", "-bf", "2", "-g", "50")


@functools.cache
def sound_with_cover() -> Path:
    """A still picture is no moving one."""
    cover = _made("cover.png", *_picture(0.04, "64x64"), "-frames:v", "1")
    inputs: list[str | Path] = ["-i", sound_only(), "-i", cover, "-map", "0:a", "-map", "1:v"]
    return _made("cover.m4a", *inputs, "-c:a", "copy", "-c:v", "png", "-disposition:v:0", "attached_pic", "-f", "mp4")


def _numbered_picture(seconds: float, rate: str) -> list[str]:
    luma = f"geq=lum='24+16*mod(N\\,{_CYCLE})':cb=128:cr=128"
    return ["-f", "lavfi", "-i", f"color=gray:s=160x90:r={rate}:d={seconds},format=yuv420p,{luma}"]


@functools.cache
def numbered(seconds: int = 6, rate: str = "30", suffix: str = "mp4") -> Path:
    """Each frame shows its number (modulo 13), keyframes stand far apart, B-frames between them."""
    name = f"numbered-{seconds}-{rate.replace('/', '_')}.{suffix}"
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "250", "-bf", "2"]
    return _made(name, *_numbered_picture(seconds, rate), *_tone(seconds), *coding, "-c:a", "aac")


@functools.cache
def variable() -> Path:
    """60 frames a second at first, then a picture that stands still for two seconds, then every third frame."""
    select = "select='lt(t,1.5)+gt(t,3.5)*not(mod(n,3))'"
    coding = ["-fps_mode", "vfr", "-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "1000"]
    return _made("variable.mkv", *_numbered_picture(6, "60"), "-vf", select, *coding)


def numbers_in(film: Path) -> list[int]:
    """The numbers that the frames of a film show."""
    luma = "scale=1:1:flags=area,format=yuv420p,extractplanes=y"
    levels = ffmpeg("-i", film, "-an", "-fps_mode", "passthrough", "-vf", luma, "-f", "rawvideo", "-")
    return [round((level - 24) / 16) for level in levels]


@functools.cache
def rotated(degrees: int = 90) -> Path:
    """A phone held upright: stored lying, to be turned clockwise."""
    return _made(f"rotated-{degrees}.mp4", "-display_rotation", str(-degrees), "-i", plain(2), "-c", "copy")


@functools.cache
def odd() -> Path:
    """Odd sides."""
    return _made("odd.mp4", *_picture(1, "321x181"), *_X264[:-1], "yuv444p")


@functools.cache
def anamorphic() -> Path:
    """Stored 180 x 144, shown 4:3 as the European DV."""
    return _made("anamorphic.mp4", *_picture(1, "180x144"), *_X264, "-aspect", "4:3")


@functools.cache
def fast() -> Path:
    """60 frames a second."""
    return _made("fast.mp4", *_picture(2, "640x480", "60"), *_X264)


@functools.cache
def surround() -> Path:
    """5.1 in English, stereo in German, mono in Persian; one of them with a title."""
    tones = [*_tone(3, 300, "5.1"), *_tone(3, 500, "stereo"), *_tone(3, 700)]
    names = ["eng", "ger", "fas"]
    tags = [part for index, name in enumerate(names) for part in (f"-metadata:s:a:{index}", f"language={name}")]
    return _made(
        "surround.mkv",
        *(*_picture(3), *tones, "-map", "0", "-map", "1", "-map", "2", "-map", "3"),
        *(*_X264, "-c:a", "aac", *tags, "-metadata:s:a:1", "title=Kommentar"),
    )


@functools.cache
def subtitled() -> Path:
    """Two text tracks in Matroska: English SubRip with markup, forced German ASS."""
    english, german = folder() / "english.srt", folder() / "german.srt"
    english.write_text(
        "1\n00:00:00,500 --> 00:00:01,500\nGood <i>evening</i>.\n\n2\n00:00:02,000 --> 00:00:02,500\n2 < 3\n",
        encoding="utf-8",
    )
    german.write_text("1\n00:00:01,000 --> 00:00:02,000\nGrüß Gott.\n", encoding="utf-8")
    return _made(
        "subtitled.mkv",
        *("-i", plain(), "-i", english, "-i", german, "-map", "0:v", "-map", "0:a", "-map", "1", "-map", "2"),
        *("-c:v", "copy", "-c:a", "copy", "-c:s:0", "srt", "-c:s:1", "ass"),
        *("-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=ger", "-disposition:s:1", "forced"),
    )


@functools.cache
def interlaced() -> Path:
    """Fields, top first."""
    coding = ["-c:v", "mpeg2video", "-b:v", "2M", "-flags", "+ilme+ildct", "-field_order", "tt"]
    return _made("interlaced.mkv", *_picture(1, "320x240"), "-vf", "setfield=tff", *coding)


@functools.cache
def high_dynamic_range() -> Path:
    """10 bits, BT.2020, perceptual quantizer."""
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv"]
    parameters = ["-x265-params", "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"]
    coding = ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", *parameters]
    tagged = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    return _made("hdr.mp4", *_picture(1), "-vf", f"format=yuv420p10le,{tagged}", *coding, *tags, "-tag:v", "hvc1")


@functools.cache
def transport_stream() -> Path:
    """MPEG-TS whose clock begins anywhere."""
    return _made("stream.ts", "-i", numbered(), "-c", "copy", "-output_ts_offset", "37", "-f", "mpegts")


# --- pretenders ------------------------------------------------------------------------------------------------------


def pretender(name: str, content: bytes) -> Path:
    """A file of any content under a name that promises a film."""
    target = folder() / name
    target.write_bytes(content)
    return target


def cut(film: Path, share: float) -> Path:
    """The beginning of a film."""
    content = film.read_bytes()
    return pretender(f"cut-{share}-{film.name}", content[: int(len(content) * share)])


def damaged() -> Path:
    """A sound index over media data that are all zeros."""
    content = bytearray(faststart().read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    return pretender("damaged.mp4", bytes(content))


def huge_picture(width: int, height: int) -> Path:
    """An AVI of uncompressed frames that claims any size."""
    source = _made("raw.avi", *_picture(0.2, "32x32"), "-c:v", "rawvideo", "-pix_fmt", "bgr24")
    content = bytearray(source.read_bytes())
    header = content.index(b"strf") + 8
    struct.pack_into("<ii", content, header + 4, width, height)
    return pretender(f"huge-{width}x{height}.avi", bytes(content))


def many_tracks_mp4(count: int) -> Path:
    """An MP4 whose index names the same track over and over."""
    content = faststart().read_bytes()
    start = content.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", content, start)
    track_start = content.index(b"trak", start) - 4
    (track_size,) = struct.unpack_from(">I", content, track_start)
    track = bytearray(content[track_start : track_start + track_size])
    number_at = track.index(b"tkhd") + 4 + 12
    tracks = bytearray()
    for number in range(count):
        struct.pack_into(">I", track, number_at, number + 1)
        tracks += track
    moov = content[start + 8 : track_start] + bytes(tracks)
    rest = content[start + size :]
    return pretender("tracks.mp4", content[:start] + struct.pack(">I4s", len(moov) + 8, b"moov") + moov + rest)


def many_tracks_matroska(count: int) -> Path:
    """A WebM whose header announces any number of tracks."""

    def element(name: str, payload: bytes) -> bytes:
        return bytes.fromhex(name) + (0x10000000 | len(payload)).to_bytes(4, "big") + payload

    def entry(number: int) -> bytes:
        parts = [("d7", number.to_bytes(3, "big")), ("73c5", number.to_bytes(3, "big")), ("83", b"\x01")]
        parts += [("86", b"V_VP8"), ("e0", element("b0", b"\x40") + element("ba", b"\x40"))]
        return element("ae", b"".join(element(name, payload) for name, payload in parts))

    header = element("1a45dfa3", element("4282", b"webm") + element("4287", b"\x02") + element("4285", b"\x02"))
    tracks = element("1654ae6b", b"".join(entry(number + 1) for number in range(count)))
    about = element("1549a966", element("2ad7b1", (1_000_000).to_bytes(3, "big")))
    block = element("a3", b"\x81\x00\x00\x80" + bytes(20))
    cluster = element("1f43b675", element("e7", b"\x00") + block)
    return pretender("tracks.webm", header + element("18538067", about + tracks + cluster))


def playlists(url: str) -> Sequence[tuple[str, bytes]]:
    """(name, content) of lists that make ffmpeg open something else: a local file, and a URL."""
    hls = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n%s\n#EXT-X-ENDLIST\n"
    dash = b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>%s</BaseURL></MPD>'
    target = url.encode()
    return (
        ("local.mp4", hls % b"file:///etc/passwd"),
        ("remote.mp4", hls % target),
        ("spaced.mp4", b"\n\n \t" + hls % target),
        ("marked.mp4", b"\xef\xbb\xbf" + hls % target),
        ("concat.mp4", b"ffconcat version 1.0\nfile '%s'\n" % target),
        ("plain-concat.mp4", b"file 'file:///etc/passwd'\n"),
        ("dash.mp4", dash % target),
        ("session.mp4", b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n"),
        ("list.mp4", b"[playlist]\nFile1=%s\n" % target),
    )
