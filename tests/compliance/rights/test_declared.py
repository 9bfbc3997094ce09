"""Whether every table and column of every service is declared as personal or as free of personal data.

It fails when somebody adds a table or a column and does not say in `services/<service>/personal.py` which of the two it is.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from pathlib import Path

import asyncpg
import pytest

from services.kit.callers import callers_of
from services.kit.migrate import SERVICES, services_with_schema
from services.kit.personal import Declaration, Delete, Free, Keep, Personal, person
from services.kit.settings import ProcessSettings

SERVING = ("drm", "identity", "payments", "policy", "protection", "upload")
"""Those with personal data besides compliance itself; they serve the contract."""


def declaration_of(service: str) -> Declaration:
    file = SERVICES / service / "personal.py"
    assert file.is_file(), f"write {file.relative_to(SERVICES.parent)}: which tables of {service} hold personal data?"
    declared: Declaration = importlib.import_module(f"services.{service}.personal").DECLARATION
    return declared


async def schemas(settings: ProcessSettings) -> dict[str, dict[str, list[str]]]:
    """Columns by table, by schema."""
    connection = await asyncpg.connect(
        host=settings.database_host, user=settings.database_admin, database=settings.database_name
    )
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in await connection.fetch(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema = ANY($1)",
        services_with_schema(),
    ):
        found[row["table_schema"]][row["table_name"]].append(row["column_name"])
    await connection.close()
    return found


@pytest.mark.parametrize("service", services_with_schema())
async def test_every_table_and_column_is_declared(mesh: ProcessSettings, service: str) -> None:
    wrong = declaration_of(service).undeclared((await schemas(mesh))[service])
    assert not wrong, f"say in services/{service}/personal.py whether this is personal data: {wrong}"


def test_a_new_table_or_column_is_found() -> None:
    declared = Declaration(
        (Personal("viewers", "who", person("viewer_id"), "viewer_id", "organisation_id", Delete()),),
        (Free("films", "films", "film_id"),),
    )
    there = {"viewers": ["viewer_id", "organisation_id"], "films": ["film_id"]}
    assert declared.undeclared(there) == []
    assert declared.undeclared({**there, "fans": ["name"]}) == ["fans is not declared"]
    assert declared.undeclared({**there, "films": ["film_id", "fan"]}) == ["films.fan is not declared"]
    assert declared.undeclared({"viewers": ["viewer_id", "organisation_id"]}) == ["films is declared and not there"]
    assert declared.undeclared({**there, "films": []}) == ["films.film_id is declared and not there"]


def test_whoever_keeps_personal_data_answers_for_it() -> None:
    """Services whose declaration names personal tables serve the contract, and only the compliance service may call it."""
    keeping = {service for service in services_with_schema() if declaration_of(service).personal}
    assert keeping - {"compliance"} == set(SERVING)
    for service in SERVING:
        assert "compliance" in callers_of(service).calls
        assert "personal=" in (Path(SERVICES) / service / "__main__.py").read_text(encoding="utf-8")


def test_what_is_kept_says_by_which_law() -> None:
    for service in services_with_schema():
        for table in declaration_of(service).personal:
            if isinstance(table.erasure, Keep):
                assert "art. 17(3)" in table.erasure.ground, f"{service}.{table.name}"
                assert table.erasure.years > 0, f"{service}.{table.name}"
