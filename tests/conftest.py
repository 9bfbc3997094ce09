"""Fixtures that every test may use: the real stores, emptied after each test."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from services.kit.access import API_KEYS_FILE, api_key_entry, new_api_key
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.support import databases, s3, service_forks, shared, stores, together
from tests.support.examples import LONG, ORDINARY

gc.disable()  # importing all tests makes many objects, all of which stay
# How long something takes says something of the machine and what else it does.
settings.register_profile(ORDINARY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(LONG, settings.get_profile(ORDINARY), max_examples=2000)
if settings.get_current_profile_name() == "default":
    settings.load_profile(ORDINARY)
_GARBAGE: Final = 10_000
"""As in services; see services/kit/process.py."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes the folder of the run before its processes are started, and has its tests run on the loop that services run on."""
    shared.folder()
    config.add_cleanup(service_forks.end)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Of several processes that import all tests each begins elsewhere: what one has compiled the others find."""
    together.imported_in_turn(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first."""
    items.sort(key=lambda item: together.turn(item.nodeid))


def pytest_collection_finish() -> None:
    """All modules and tests are there and stay: nobody need look through them again and again for what is not used any more."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> together.Together:
    """Several processes share the tests out by what they set up."""
    return together.Together(config, log)


@pytest.fixture(scope="session")
def session_stores() -> Iterator[ProcessSettings]:
    """One Postgres and one NATS for the whole session."""
    stores.without_environment()
    with stores.running_stores() as settings:
        yield settings


@pytest.fixture(scope="session")
async def emptied(session_stores: ProcessSettings) -> AsyncIterator[stores.Emptying]:
    """Empties the session's stores when it is called."""
    async with databases.kept(session_stores), stores.emptying(session_stores) as emptying:
        yield emptying


@pytest.fixture
async def mesh(session_stores: ProcessSettings, emptied: stores.Emptying) -> AsyncIterator[ProcessSettings]:
    """Settings that lead to empty stores."""
    yield session_stores
    await emptied()


@pytest.fixture
def other_organisation_key(mesh: ProcessSettings) -> Iterator[str]:
    """An API key that may do everything in another organisation."""
    file = mesh.secrets_dir / API_KEYS_FILE
    before = file.read_text(encoding="utf-8")
    key = new_api_key()
    entry = api_key_entry(key, key_id=new_id("key"), name="other", organisation_id=new_id("org"), permissions=["*"])
    file.write_text(json.dumps([*json.loads(before), entry]), encoding="utf-8")
    yield key
    file.write_text(before, encoding="utf-8")


@pytest.fixture(scope="module")
def s3_bucket() -> Iterator[str]:
    """A bucket of a store that speaks S3, with the environment set to reach it."""
    with s3.running_s3() as bucket:
        yield bucket
