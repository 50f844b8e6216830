"""The tenant and the person that every deployment begins with."""

from __future__ import annotations

from uuid import UUID

DEFAULT_TENANT_ID = UUID("550e8400-e29b-41d4-a716-446655440000")
DEFAULT_TENANT_NAME = "Numen AI"
DEFAULT_TENANT_SLUG = "numen-ai"

DEFAULT_USER_ID = UUID("660e8400-e29b-41d4-a716-446655440001")
DEFAULT_USER_NAME = "Admin User"
DEFAULT_USER_EMAIL = "admin@numen.ai"
