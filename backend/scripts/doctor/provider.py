"""The provider of language models: is one set up, and does it answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from backend.container import SystemClock, build_models
from backend.errors import NumenError
from backend.scripts.doctor.check import Check
from backend.settings import Settings

_SETTINGS = "OPENAI_BASE_URL and OPENAI_API_KEY"


async def provider_checks(settings: Settings) -> AsyncIterator[Check]:
    """Ask the provider for its list of models; no tokens are spent."""
    try:
        models = build_models(settings, SystemClock())
    except NumenError as error:
        yield Check("models", "fail", error.detail, "Correct NUMEN_LLM_PROVIDERS.")
        return
    if settings.model_provider == "offline":
        found = "the built-in offline provider, which answers by rule"
        yield Check("models", "warn", found, f"Set OPENAI_API_KEY, or {_SETTINGS} for a server of your own.")
        await models.close()
        return
    listed = await models.retirements()
    await models.close()
    if not listed:
        found = f"{settings.openai_base_url} does not list its models"
        yield Check("models", "fail", found, f"Check {_SETTINGS}, and whether that server runs.")
        return
    yield Check("models", "ok", f"{settings.openai_base_url} lists {len(listed)} models")
    if settings.llm_model not in listed:
        found = f"{settings.llm_model}, which replaces retired models, is not among them"
        yield Check("fallback model", "warn", found, "Set NUMEN_LLM_MODEL to one that is listed.")
    elif listed[settings.llm_model] is not None:
        found = f"{settings.llm_model} ends on {listed[settings.llm_model]}"
        yield Check("fallback model", "warn", found, "Set NUMEN_LLM_MODEL to a newer one.")
