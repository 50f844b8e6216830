"""JSON Schemas for editors and code generators: of the contract, and of what OpenAPI cannot describe."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from backend.models.agent import contract_schema
from backend.models.voice_frames import frames_schema
from backend.routers.dependencies import Viewer
from backend.routers.problems import PROBLEM_RESPONSES

router = APIRouter(prefix="/api/v1/schemas", tags=["schemas"], responses=PROBLEM_RESPONSES)


class SchemaAnswer(JSONResponse):
    """A JSON Schema as an answer."""

    media_type = "application/schema+json"


@router.get("/agent-contract", response_class=SchemaAnswer, operation_id="getContractSchema")
async def get_contract_schema(_: Viewer) -> SchemaAnswer:
    """Read the JSON Schema (draft 2020-12) of the agent contract."""
    return SchemaAnswer(contract_schema())


@router.get("/voice-frames", response_class=SchemaAnswer, operation_id="getVoiceFramesSchema")
async def get_voice_frames_schema(_: Viewer) -> SchemaAnswer:
    """Read the JSON Schema (draft 2020-12) of the text frames of a conversation by voice, `/agents/{agent_id}/voice`.

    Audio goes both ways as binary frames: PCM, 16 bits, little endian, mono, 16 kHz.
    """
    return SchemaAnswer(frames_schema())
