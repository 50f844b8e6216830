"""What tests of access begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from backend.models.tenant import ApiKeyCreate, Caller
from backend.services.access_service import AccessService, Credentials
from backend.stores.database import Database
from backend.tests.fakes import FrozenClock

if TYPE_CHECKING:
    pass

BOOTSTRAP = "bootstrap-key-of-thirty-two-chars"
KNOWN_HOST = "127.0.0.1:8000"
SUSPEND = {
    "user": "UPDATE users SET status = 'suspended'",
    "tenant": "UPDATE tenants SET status = 'suspended'",
}


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def access(database: Database, clock: FrozenClock) -> AccessService:
    return AccessService(database, mode="keys", clock=clock, bootstrap_key=BOOTSTRAP)


@pytest.fixture
def at_home(database: Database, clock: FrozenClock) -> AccessService:
    origins = ["https://console.example.org"]
    return AccessService(database, mode="development", clock=clock, allowed_origins=origins)


def bearer(token: str, person: str | None = None) -> Credentials:
    return Credentials(authorization=f"Bearer {token}", numen_user=person, host=KNOWN_HOST)


async def new_key(access: AccessService, caller: Caller, **wanted: Any) -> str:
    made = await access.create_key(caller, ApiKeyCreate(name="a key", **wanted))
    return made.key
