"""Phone numbers."""

from __future__ import annotations

from typing import Final

import grpc
import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

from services.identity.refusals import IDENTITY_DOMAIN
from services.kit.errors import Refusal

# An SMS to a premium or a shared-cost number is somebody's business at the operator's cost.
_REACHABLE: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def canonical_phone(text: str) -> str:
    """A number in E.164 form, of which there is one for each phone.

    Raises:
        Refusal: INVALID_ARGUMENT `PHONE_INVALID` for what is no number that an SMS reaches.
    """
    try:
        number = phonenumbers.parse(text, None)
    except NumberParseException:
        number = None
    reachable = number is not None and phonenumbers.is_valid_number(number)
    if number is None or not reachable or phonenumbers.number_type(number) not in _REACHABLE:
        message = "give the number of a mobile phone with `+` and the country's code, such as +49 151 23456789"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "PHONE_INVALID",
            message,
            domain=IDENTITY_DOMAIN,
            fields=[("phone", message)],
        )
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
