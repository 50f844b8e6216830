"""The shape of every error answer (RFC 9457), for the OpenAPI document and for clients written in Python."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ProblemField(BaseModel):
    """One refused value: a JSON pointer into the body, or the place and name of a parameter."""

    model_config = ConfigDict(
        frozen=True, json_schema_extra={"examples": [{"pointer": "/traits/empathy", "detail": "must be at most 100"}]}
    )

    pointer: str = Field(description="RFC 6901 pointer into the body; empty for the body itself and for parameters")
    detail: str = Field(description="What is wrong with it, for people")
    location: str | None = Field(None, alias="in", description="Of a parameter: `path`, `query`, `header` or `cookie`")
    name: str | None = Field(None, description="Of a parameter: its name")


class Problem(BaseModel):
    """An error as `application/problem+json`. `code` is stable; the words are not. Some carry further members."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/invalid-request",
                    "title": "The request does not fit the schema",
                    "status": 422,
                    "code": "invalid-request",
                    "detail": "/traits/empathy must be at most 100.",
                    "instance": "/api/v1/agents",
                    "request_id": "5f0c2f6c4f4b4b5c9a2f6f0a1c3d5e7f",
                    "errors": [{"pointer": "/traits/empathy", "detail": "must be at most 100"}],
                }
            ]
        },
    )

    type: str = Field(description="Where the kind of problem is described: `/problems/{code}`")
    title: str = Field(description="The kind of problem, in words")
    status: int = Field(description="The HTTP status")
    code: str = Field(description="The kind of problem, for programs")
    detail: str = Field(description="What happened this time and what to do about it")
    instance: str | None = Field(None, description="The path that was asked for")
    request_id: str | None = Field(None, description="As in the X-Request-ID header; quote it when you ask for help")
    errors: list[ProblemField] | None = Field(None, description="What was refused, where it can be said")
