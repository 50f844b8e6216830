"""One `LanguageModel` in front of all: each call goes to the provider that its request names, and to no other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack

from backend.errors import ModelUnavailable
from backend.ports import LanguageModel, ModelReply, ModelRequest, TextDelta

CATALOGUED = "openai"


class ModelRouter:
    """Providers by name. What a name means (`openai` may be the offline one) is decided by who builds the router.

    A provider that fails is not replaced by another. Errors: `ModelUnavailable` for a name that is not known here,
    beside those of the provider.
    """

    def __init__(self, models: Mapping[str, LanguageModel]) -> None:
        self._models = dict(models)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that `configuration.llm_provider` may have, sorted."""
        return tuple(sorted(self._models))

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Answer in one piece."""
        return await self._named(request.provider).complete(request)

    def stream(self, request: ModelRequest) -> AsyncGenerator[TextDelta | ModelReply]:
        """Yield the answer piece by piece, the whole reply last."""
        return self._named(request.provider).stream(request)

    async def retirements(self) -> dict[str, str | None]:
        """What `openai` lists: the names of models mean the same nowhere else."""
        model = self._models.get(CATALOGUED)
        return {} if model is None else await model.retirements()

    async def close(self) -> None:
        """Give back the connections of every provider, each once."""
        async with AsyncExitStack() as stack:
            for model in {id(model): model for model in self._models.values()}.values():
                stack.push_async_callback(model.close)

    def _named(self, provider: str) -> LanguageModel:
        model = self._models.get(provider)
        if model is None:
            known = ", ".join(self.names)
            raise ModelUnavailable(f"no provider named {provider} is set up here; known: {known}", provider=provider)
        return model
