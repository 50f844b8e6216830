"""Tenants, the people in them, and who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from backend.models.fields import Utc

RoleName = Literal["owner", "admin", "member", "viewer"]
Scope = Literal["act_as"]


DEFAULT_TENANT_ID = UUID("550e8400-e29b-41d4-a716-446655440000")
ADMIN_USER_ID = UUID("660e8400-e29b-41d4-a716-446655440001")


class Role(IntEnum):
    """What a caller may do; each role includes the ones below it.

    viewer reads agents and their own conversations; member also chats; admin also manages agents and sees the
    whole tenant's conversations; owner also manages API keys.
    """

    VIEWER = 1
    MEMBER = 2
    ADMIN = 3
    OWNER = 4

    @classmethod
    def named(cls, name: RoleName) -> Role:
        """The role of this name."""
        return cls[name.upper()]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, for one request. `user_id` is the person it is done for, `api_key_id` what opened the door."""

    tenant_id: UUID
    user_id: UUID
    role: Role
    scopes: frozenset[str] = frozenset()
    api_key_id: UUID | None = None

    @property
    def sees_only(self) -> UUID | None:
        """Whose conversations are visible: this user's, or everybody's in the tenant (None)."""
        return None if self.role >= Role.ADMIN else self.user_id


class Me(BaseModel):
    """Who you are to Numen."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "user_id": "660e8400-e29b-41d4-a716-446655440001",
                    "tenant_id": "550e8400-e29b-41d4-a716-446655440000",
                    "roles": ["owner"],
                    "scopes": ["act_as"],
                }
            ]
        },
    )

    user_id: UUID
    tenant_id: UUID
    roles: list[RoleName]
    scopes: list[str]


class ApiKeyCreate(BaseModel):
    """A key to make. It never has more rights than the key that makes it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"name": "product backend", "role": "member", "scopes": ["act_as"]}]},
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]
    role: RoleName = "member"
    scopes: list[Scope] = Field(default=[], max_length=10)
    expires_at: Utc | None = Field(default=None, description="With a time zone; omitted means it does not expire.")


API_KEY_EXAMPLE: JsonDict = {
    "id": "3c1f7d0e-6a55-4a0f-9c0c-0f4d8a2b9e77",
    "user_id": "660e8400-e29b-41d4-a716-446655440001",
    "name": "product backend",
    "prefix": "numen_sk_0a1b2c3d4e5f6789",
    "role": "member",
    "scopes": ["act_as"],
    "created_at": "2026-11-22T10:00:00Z",
    "expires_at": "2027-11-22T10:00:00Z",
    "revoked_at": "2026-12-01T08:00:00Z",
    "last_used_at": "2026-11-22T10:05:00Z",
}


class ApiKey(BaseModel):
    """A key as it may be shown: never with its secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [API_KEY_EXAMPLE]})

    id: UUID
    user_id: UUID
    name: str
    prefix: str = Field(description="The first characters of the key, to recognise it by.")
    role: RoleName
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class ApiKeyCreated(ApiKey):
    """A new key with its secret, shown this once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**API_KEY_EXAMPLE, "key": "numen_sk_0a1b2c3d4e5f6789_<secret>_<checksum>"}]}
    )

    key: str = Field(description="The whole key. It is not stored and cannot be shown again.")
