"""What can be set about requests of persons."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from services.kit.settings import ProcessSettings


class RightsSettings(ProcessSettings):
    """Settings of requests of persons."""

    compliance_rights_contact: str = Field(
        default="",
        description="E-mail address of whoever sees to requests, such as the data protection officer; reminded of what is due. Empty: nobody is written to.",
    )
    compliance_rights_seconds: float = Field(
        default=5, gt=0, description="Seconds between two looks for requests that a process left when it died."
    )
    compliance_rights_reminder_seconds: float = Field(
        default=600, gt=0, description="Seconds between two looks for requests that are due."
    )
    compliance_rights_settle: timedelta = Field(
        default=timedelta(hours=1),
        gt=timedelta(0),
        description="Time between the two rounds of an erasure. Longer than an access token is good: 15 minutes.",
    )
    compliance_rights_lease: timedelta = Field(
        default=timedelta(seconds=20),
        gt=timedelta(0),
        description="Time after which a request is taken up again: by another process, should the one that has it have died, or because a service was away.",
    )
    compliance_rights_consumers: tuple[str, ...] = Field(
        default=(),
        description='JSON list of durable consumers of your own programs on the event stream, such as `["warehouse"]`, for which erasures wait even while those programs do not run.',
    )
