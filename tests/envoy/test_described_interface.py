"""The REST interface answers as its OpenAPI document says: real services behind a real Envoy, and requests made up from the document.

Operations are found in the document. The ordinary run takes few examples, always the same; `make fuzz` takes many, and new ones each time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import requests
import schemathesis
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from services.kit.settings import ProcessSettings
from tests.support.edged import running_edge
from tests.support.examples import fuzzed
from tests.support.furnished import furnish
from tests.support.generated import Memory
from tests.support.stores import Emptying
from tests.support.whole import Whole, all_running, every_method
from tools.envoy_config.settings import REPOSITORY
from tools.openapi.refusals import HTTP_STATUSES

pytestmark = pytest.mark.timeout(300)

DOCUMENT: Final[dict[str, Any]] = json.loads(
    (REPOSITORY / "gen/openapi/reelmesh.openapi.json").read_text(encoding="utf-8")
)
REJECTIONS: Final = ["400", "401", "403", "404", "405", "409", "413", "429", "431"]
CONFIG: Final = schemathesis.Config.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REJECTIONS}}}
)
SERVED: Final = {f"{method.containing_service.name}_{method.name}" for method in every_method()}
OPERATIONS: Final[dict[str, Any]] = {
    operation.definition.raw["operationId"]: operation
    for made in schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG).get_all_operations()
    if (operation := made.ok())  # type: ignore[union-attr]  # a document that cannot be read fails here
}
CHECKS: Final = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
STREAM: Final = "text/event-stream"
MODES: Final = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
CALLERS: Final = st.sampled_from(["permitted", "permitted", "permitted", "permitted", "nobody", "odd"])


@dataclass(frozen=True)
class Interface:
    """The running edge, and somebody who is signed in."""

    url: str
    whole: Whole
    person: str

    def shown(self, operation: dict[str, Any], caller: str) -> dict[str, str]:
        """Headers with which an operation is called."""
        if caller == "nobody":
            return {}
        if caller == "odd":
            return {"authorization": "Bearer rmk_no\u00e9".encode().decode("latin-1")}
        person = "x-reelmesh-permission" not in operation and "security" not in operation
        return {"authorization": self.person if person else self.whole.operator}

    def send(self, case: Any, headers: dict[str, str]) -> requests.Response:
        """Sends a request. Of a stream only the first event is read: it may have no end."""
        with requests.Session() as session:
            session.trust_env = False
            made = case.as_transport_kwargs(base_url=self.url, headers=headers)
            answer = session.request(**made, stream=True, timeout=60, allow_redirects=False)
            if answer.headers.get("content-type", "").startswith(STREAM):
                first = next(answer.iter_lines(), b"")
                answer._content = first
            else:
                answer.content  # noqa: B018  # read while the session is open
            answer.close()
        return answer


@pytest.fixture(scope="module")
async def interface(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Interface]:
    """The edge with everything behind it, for all tests of this module."""
    async with all_running(session_stores) as whole, running_edge(session_stores) as url:
        await furnish(whole, Memory())
        yield Interface(url, whole, await whole.person())
    await emptied()


def test_every_operation_is_tried() -> None:
    assert {name for name in OPERATIONS if name in SERVED}
    assert {item["operationId"] for path in DOCUMENT["paths"].values() for item in path.values()} == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(SERVED & set(OPERATIONS)))
@fuzzed(3)
@given(data=st.data())
async def test_each_answer_is_as_described(interface: Interface, name: str, data: st.DataObject) -> None:
    operation = OPERATIONS[name]
    case = data.draw(operation.as_strategy(data.draw(MODES)))
    headers = interface.shown(operation.definition.raw, data.draw(CALLERS))
    answer = await asyncio.to_thread(interface.send, case, headers)
    complaints = interface.whole.heard.take()
    assert not complaints, "\n\n".join(complaints)
    if answer.headers.get("content-type", "").startswith(STREAM):
        assert STREAM in operation.definition.raw["responses"]["200"]["content"]
        assert answer.content.startswith((b"data:", b"event:", b":", b"id:")), answer.content
        return
    # Some checks ask once more.
    await asyncio.to_thread(case.validate_response, answer, checks=CHECKS, headers=headers)
    if answer.headers.get("content-type", "").startswith("text/xml"):
        assert b"Fault" in answer.content, answer.content
        return
    if answer.status_code >= 400:
        refusal = answer.json()
        status = code_pb2.Code.Name(refusal["code"])
        assert status not in {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"}, answer.text
        assert answer.status_code == HTTP_STATUSES[status] or answer.status_code in {405, 413, 431}, answer.text
        named = refusal["details"][0].get("metadata", {}).get("correlation_id")
        # What cannot be read as HTTP, or has too large headers, is refused before it has an id.
        assert named == answer.headers.get("x-correlation-id"), answer.text
        assert named or refusal["details"][0]["reason"] in {"REQUEST_INVALID", "REQUEST_TOO_LARGE"}, answer.text
