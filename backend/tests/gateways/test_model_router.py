"""Each call goes to the provider it names, and to no other."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from backend.errors import ModelFailed, ModelUnavailable
from backend.gateways.model_router import ModelRouter
from backend.ports import ModelReply, ModelRequest, TextDelta
from backend.tests.gateways.model_requests import request, streamed


class NamedModel:
    """Answers with its name; counts how often it was closed."""

    def __init__(self, name: str, ends: dict[str, str | None] | None = None) -> None:
        self.name = name
        self.ends = ends or {}
        self.closed = 0

    async def complete(self, request: ModelRequest) -> ModelReply:
        if self.name == "broken":
            raise ModelFailed("broken")
        return ModelReply(self.name, self.name, request.model)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[TextDelta | ModelReply]:
        reply = await self.complete(request)
        yield TextDelta(reply.text)
        yield reply

    async def retirements(self) -> dict[str, str | None]:
        return self.ends

    async def close(self) -> None:
        self.closed += 1
        if self.name == "broken":
            raise ModelFailed("cannot even close")


def to(provider: str) -> ModelRequest:
    """A request for a provider."""
    asked = request("Hi")
    return ModelRequest(asked.contract, provider, "m", asked.messages)


@pytest.fixture
def models() -> dict[str, NamedModel]:
    offline = NamedModel("offline")
    return {"offline": offline, "openai": offline, "local": NamedModel("local"), "broken": NamedModel("broken")}


async def test_the_name_decides(models: dict[str, NamedModel]) -> None:
    router = ModelRouter(models)
    assert router.names == ("broken", "local", "offline", "openai")
    assert (await router.complete(to("local"))).text == "local"
    assert (await router.complete(to("openai"))).text == "offline"
    assert (await streamed(router, to("local")))[0] == ["local"]


async def test_a_failing_provider_is_not_replaced(models: dict[str, NamedModel]) -> None:
    router = ModelRouter(models)
    with pytest.raises(ModelFailed, match="broken"):
        await router.complete(to("broken"))
    with pytest.raises(ModelFailed, match="broken"):
        await streamed(router, to("broken"))


async def test_an_unknown_provider_is_answered_with_the_known_ones(models: dict[str, NamedModel]) -> None:
    router = ModelRouter(models)
    with pytest.raises(ModelUnavailable, match=r"mistral.*broken, local, offline, openai"):
        await router.complete(to("mistral"))
    with pytest.raises(ModelUnavailable, match="mistral"):
        await streamed(router, to("mistral"))


async def test_only_openai_tells_of_retirements() -> None:
    named = {"openai": NamedModel("a", {"gpt-4o": "2027-01-14"}), "local": NamedModel("b", {"gpt-4o": None})}
    assert await ModelRouter(named).retirements() == {"gpt-4o": "2027-01-14"}
    assert await ModelRouter({}).retirements() == {}


async def test_everything_is_closed_once_even_when_one_cannot(models: dict[str, NamedModel]) -> None:
    with pytest.raises(ModelFailed):
        await ModelRouter(models).close()
    assert {name: model.closed for name, model in models.items()} == dict.fromkeys(models, 1)
