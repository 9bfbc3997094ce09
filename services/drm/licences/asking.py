"""Asks the policy service, many asks to a call: what players ask for at the same time costs one call between the services."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import Final

from reelmesh.policy.v1 import policy_service_pb2 as policy
from reelmesh.policy.v1 import policy_service_pb2_grpc

from services.kit.errors import Refusal
from services.kit.server import as_refusal

_MOST: Final = 128
"""Asks to a call; the contract takes 256."""
_GATHER: Final = 0.01
"""Seconds for which an ask waits for others to go with. A call costs both services more than the decision about one ask does."""
_DEADLINE: Final = 5.0


class Asking:
    """Gathers asks for a moment and sends them together."""

    def __init__(self, stub: policy_service_pb2_grpc.PolicyServiceAsyncStub) -> None:
        self._stub = stub
        self._waiting: deque[tuple[policy.KeysAsked, asyncio.Future[policy.KeysDecision]]] = deque()
        self._gathering = False
        self._calls: set[asyncio.Task[None]] = set()

    async def decided(self, ask: policy.KeysAsked) -> policy.KeysDecision:
        """What the policy service decides about one ask.

        Raises:
            Refusal: it could not be asked. What it refuses stands in the decision.
        """
        answer: asyncio.Future[policy.KeysDecision] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, answer))
        if not self._gathering:
            self._gather()
        return await answer

    def _gather(self) -> None:
        self._gathering = True
        # In a context of its own: it is no part of the call that happens to come first, whose deadline or trace is not the others'.
        task = asyncio.create_task(self._call(), context=Context())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self) -> None:
        await asyncio.sleep(_GATHER)
        part = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
        self._gathering = False
        if self._waiting:
            self._gather()
        try:
            request = policy.BatchAuthorizeKeysRequest(asks=[ask for ask, _ in part])
            answer = await self._stub.BatchAuthorizeKeys(request, timeout=_DEADLINE)
            decisions = list(answer.decisions)
            if len(decisions) != len(part):
                raise ConnectionError("as many answers as asks are expected")
        except Exception as error:  # each of those who wait is told
            why = as_refusal(error) or error
            for _, waiter in part:
                if not waiter.done():
                    waiter.set_exception(_copied(why))
        else:
            for (_, waiter), decision in zip(part, decisions, strict=True):
                if not waiter.done():
                    waiter.set_result(decision)


def _copied(why: BaseException) -> BaseException:
    """An exception for each waiter: one that is raised many times gathers everybody's traceback."""
    if not isinstance(why, Refusal):
        return why
    return Refusal(
        why.code,
        why.reason,
        why.message,
        domain=why.domain,
        metadata=why.metadata,
        retry_after=why.retry_after,
        fields=why.fields,
    )
