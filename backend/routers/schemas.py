"""The contract's JSON Schema, for editors and code generators."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from backend.models.agent import contract_schema
from backend.routers.dependencies import Viewer

router = APIRouter(prefix="/api/v1/schemas", tags=["schemas"])


@router.get("/agent-contract", operation_id="getContractSchema")
async def get_contract_schema(_: Viewer) -> JSONResponse:
    """Read the JSON Schema (draft 2020-12) of the agent contract."""
    return JSONResponse(contract_schema(), media_type="application/schema+json")
