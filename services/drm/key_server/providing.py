"""Keys for a content of an organisation, made at the first call and the same ever after."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from reelmesh.drm.v1 import drm_pb2, events_pb2

from services.drm import uses
from services.drm.cpix import contract
from services.drm.cpix.answering import Asked as AskedByCpix
from services.drm.cpix.answering import KeyValue
from services.drm.domain import ContentKey
from services.drm.key_server import store
from services.drm.key_server.packager_requests import Asked as AskedByPackager
from services.drm.key_server.refusals import packager_request_invalid
from services.drm.key_server.store import KeyedContent
from services.drm.uses import Action, Use
from services.drm.vault import Vault
from services.kit import events
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.ids import new_id

SPEKE: Final = drm_pb2.KEY_PROTOCOL_SPEKE
WIDEVINE: Final = drm_pb2.KEY_PROTOCOL_WIDEVINE
MOST_KEYS: Final = 50_000
"""Keys of one content whose keys rotate: at periods of a minute, a week of five kinds of track. A channel that goes on begins a new content then."""


class Providing:
    """Finds and makes keys for packagers outside of the mesh, and announces each delivery."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock

    async def for_cpix(self, tx: Tx, organisation_id: str, asked: AskedByCpix, actor: str) -> Mapping[bytes, KeyValue]:
        """The keys of a document by their ids.

        Raises:
            Refusal: KEYSTORE_LOCKED, KEYSTORE_UNREACHABLE or KEYS_REVOKED.
        """
        document = asked.document
        content = await self._content(tx, organisation_id, SPEKE, document.content_id.encode(), document.content_id)
        rules = asked.rules
        wanted = [
            ContentKey(
                label=f"{contract.kind_of(rules[key.key_id])}/{key.key_id.hex()}",
                key_id=key.key_id,
                key=secrets.token_bytes(16),
                iv=key.explicit_iv or secrets.token_bytes(16),
            )
            for key in document.keys
        ]
        keys = await self._vault.keys_given(tx, organisation_id, content.keyed_content_id, wanted)
        recipients = [hashlib.sha256(certificate).hexdigest() for certificate in document.recipients]
        await self._announce(tx, content, keys, actor, recipients)
        return {key.key_id: KeyValue(key.key, key.iv) for key in keys}

    async def for_packager(
        self, tx: Tx, organisation_id: str, asked: AskedByPackager, actor: str
    ) -> Mapping[str, ContentKey]:
        """The keys of a request by their labels.

        Raises:
            Refusal: PACKAGER_REQUEST_INVALID when the content would have too many keys, or KEYSTORE_LOCKED.
        """
        content = await self._content(tx, organisation_id, WIDEVINE, asked.content_id, _shown(asked.content_id))
        labels = [label for _, _, label in asked.wanted()]
        if asked.periods is not None and await store.count_keys(tx, content.keyed_content_id) > MOST_KEYS - len(labels):
            raise packager_request_invalid(
                "ACCESS_DENIED", f"the content has nearly {MOST_KEYS} keys; go on under another content id"
            )
        keys = await self._vault.keys_for(tx, organisation_id, content.keyed_content_id, labels)
        await self._announce(tx, content, keys, actor, [])
        return {key.label: key for key in keys}

    async def note(self, tx: Tx, content: KeyedContent, action: Action, actor: str, key_ids: Sequence[bytes]) -> None:
        """Notes what was done with keys of a content."""
        use = Use.of(
            content.organisation_id,
            action,
            actor,
            self._clock.now(),
            package_id=content.keyed_content_id,
            key_ids=[key_id.hex() for key_id in key_ids],
        )
        await uses.note(tx, [use])

    async def _content(self, tx: Tx, organisation_id: str, protocol: int, name: bytes, shown: str) -> KeyedContent:
        new = KeyedContent(
            keyed_content_id=new_id("kct"),
            organisation_id=organisation_id,
            protocol=protocol,
            content_sha256=hashlib.sha256(name).digest(),
            content_id=shown,
            create_time=self._clock.now(),
        )
        return await store.found_or_added(tx, new)

    async def _announce(
        self, tx: Tx, content: KeyedContent, keys: Sequence[ContentKey], actor: str, recipients: Sequence[str]
    ) -> None:
        await self.note(tx, content, Action.PACKAGED, actor, [key.key_id for key in keys])
        await events.announce(
            tx,
            events_pb2.ContentKeysProvided(
                organisation_id=content.organisation_id,
                keyed_content_id=content.keyed_content_id,
                content_id=content.content_id,
                key_ids=[key.key_id.hex() for key in keys],
                protocol=drm_pb2.KeyProtocol.ValueType(content.protocol),
                actor=actor,
                recipient_sha256s=recipients,
                provide_time=timestamp(self._clock.now()),
            ),
        )


def _shown(content_id: bytes) -> str:
    """A content id as text if it is some, else in hex."""
    try:
        text = content_id.decode()
    except UnicodeDecodeError:
        return content_id.hex()
    return text if text.isprintable() else content_id.hex()
