"""Tags and magic numbers of FairPlay Streaming's messages (FairPlay Streaming Programming Guide, "SPC TLLVs" and "CKC TLLVs")."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Tag(IntEnum):
    """Tags whose meaning is known. All others are decoys, or for others."""

    SK_R1 = 0x3D1A10B8BFFAC2EC
    """Session key and R1, encrypted with the derived application secret key."""
    SK_R1_INTEGRITY = 0xB349D4809E910687
    ANTI_REPLAY_SEED = 0x89C90F12204106B2
    R2 = 0x71B5595AC1521133
    RETURN_REQUEST = 0x19F9D4E5AB7609CB
    """Tags that the CKC must repeat."""
    ASSET_ID = 0x1BF7F53F5D5D5A1F
    TRANSACTION_ID = 0x47AA7AD3440577DE
    PROTOCOL_VERSIONS_SUPPORTED = 0x67B8FB79ECCE1A13
    PROTOCOL_VERSION_USED = 0x5D81BCBCC7F61703
    STREAMING_INDICATOR = 0xABB0256A31843974
    MEDIA_PLAYBACK_STATE = 0xEB8EFDF2B25AB3A0
    CAPABILITIES = 0x9C02AF3253C07FB2


class CkcTag(IntEnum):
    """Tags that a module writes."""

    CONTENT_KEY = 0x58B38165AF0E3D5A
    R1 = 0xEA74C4645D5EFEE9
    KEY_DURATION = 0x47ACF6A418CD091A
    HDCP_ENFORCEMENT = 0x2E52F1530D8DDB4A


class KeyType(IntEnum):
    """What the durations of a key mean."""

    LEASE = 0x1A4BDE7E
    """Playback ends with the lease, counted from when the SPC was made, unless it is renewed."""
    RENTAL = 0x3DFE45A0
    """Playback begins within the rental, counted from when the SPC was made. Once begun it goes on."""
    LEASE_AND_RENTAL = 0x27B59BDE
    PERSIST = 0x3DF2D9FB
    """The device may keep the key for as long as it likes."""
    PERSIST_LIMITED = 0x18F06048
    """The device may keep the key for the length of the rental."""


class HdcpType(IntEnum):
    """What the device demands of an outer screen's connection."""

    NOT_REQUIRED = 0xEF72894CA7895B78
    TYPE_0 = 0x40791AC78BD5C571
    """Any version of HDCP."""
    TYPE_1 = 0x285A0863BBA8E1D3
    """HDCP 2.2 or later."""


class PlaybackState(IntEnum):
    """What the device was doing when it made the SPC."""

    READY_TO_START = 0xF4DEE5A2
    PLAYING_OR_PAUSED = 0xA5D6739E
    """And the lease is asked to be renewed."""
    PLAYING = 0x4F834330
    HALTED = 0x5991BF20
    """Playback ended because the lease was over or was given back."""


KEY_DURATION_RESERVED: Final = 0x86D34A3A
"""The last four bytes of a key duration TLLV have this value, always."""
CAN_ENFORCE_HDCP: Final = 1
"""Bit of the capabilities (the lowest of 128): the device understands the HDCP enforcement TLLV."""
REQUIRED: Final = frozenset(
    {
        Tag.SK_R1,
        Tag.SK_R1_INTEGRITY,
        Tag.ANTI_REPLAY_SEED,
        Tag.R2,
        Tag.RETURN_REQUEST,
        Tag.ASSET_ID,
        Tag.TRANSACTION_ID,
        Tag.PROTOCOL_VERSIONS_SUPPORTED,
        Tag.PROTOCOL_VERSION_USED,
    }
)
"""Every SPC of version 1 has these."""
