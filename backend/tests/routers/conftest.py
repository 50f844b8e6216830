"""Fixtures of the small app that routes' common behaviour is tried on."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.routers.note_shop import Shop, headers_of


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


@pytest.fixture
async def shop_client(shop: Shop) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=shop, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
async def shop_headers(shop: Shop, tenant: TenantFactory) -> dict[str, str]:
    """Of a caller who repeats themselves."""
    key = await headers_of(shop, await tenant(scopes=frozenset({"act_as"})), role="owner")
    return {**key, "idempotency-key": "key-1"}
