"""Secret links, by which parties reach their case without an account. A code follows from the install's key, the case and the party, so none is kept, and
every message can carry it anew; it ends when the case is erased."""

from __future__ import annotations

import base64
import hmac
from typing import Final

from services.compliance import refusals
from services.compliance.notices.domain import Party
from services.kit.ids import is_id
from services.kit.sealing import Seal

_LETTERS: Final = {Party.NOTIFIER: "n", Party.UPLOADER: "u"}


class Links:
    """Makes and reads codes.

    Args:
        seal: the service's own.
        public_url: where people reach this install.
    """

    def __init__(self, seal: Seal, public_url: str) -> None:
        self._seal = seal
        self._page = f"{public_url.rstrip('/')}/notice"

    def code(self, notice_id: str, party: Party) -> str:
        """The code of a party: the case, the party, and a MAC of both."""
        mac = base64.urlsafe_b64encode(self._seal.digest("notice link", notice_id, party.word)).decode().rstrip("=")
        return f"{notice_id}.{_LETTERS[party]}.{mac}"

    def url(self, notice_id: str, party: Party) -> str:
        """The link. The code stands in its fragment, which browsers send to nobody."""
        return f"{self._page}#code={self.code(notice_id, party)}"

    def read(self, code: str) -> tuple[str, Party]:
        """The case and the party that a code is for.

        Raises:
            Refusal: NOTICE_LINK_INVALID.
        """
        notice_id, _, rest = code.partition(".")
        party = next((one for one, letter in _LETTERS.items() if rest.startswith(f"{letter}.")), None)
        if party is None or not is_id("ntc", notice_id) or not code.isascii():
            raise refusals.notice_link_invalid()
        if not hmac.compare_digest(self.code(notice_id, party), code):
            raise refusals.notice_link_invalid()
        return notice_id, party
