"""Everything a deployment can set, by environment or `.env`. Read by the composition root and entry points only."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SMALLEST_BOOTSTRAP_KEY = 32
OWN_DIMENSIONS = {"minilm": 384, "lexical": 1024}
"""How many numbers a vector of the embedders has that need no server."""
HelpRegion = Literal[
    "international", "US", "GB", "IE", "CA", "AU", "NZ", "DE", "AT", "CH", "FR", "ES", "IT", "NL", "IN", "ZA"
]
"""Regions that `services/crisis/help_lines.json` has help lines for."""
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")

_HOST = r"(?!-)[A-Za-z0-9_.-]{1,253}|\[[0-9a-fA-F:.]+\]"
_PORT = r":[1-9][0-9]{0,4}"
_TOOL_HOSTS = {
    "tool_hosts": (re.compile(f"(?:{_HOST})(?:{_PORT})?"), "host such as tools.example.com or tools.example.com:8443"),
    "tool_private_hosts": (re.compile(f"(?:{_HOST})(?:{_PORT})"), "host with its port such as 10.0.0.5:8080"),
}
_HTTP_ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
_VOICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OFFICIAL = re.compile(r"https?://api\.openai\.com(:\d+)?(/|$)", re.IGNORECASE)


VOICE_ALIASES = {"calm-female": "21m00Tcm4TlvDq8ikWAM", "soothing-male": "pNInz6obpgDQGcFmaJgB"}
"""Friendly names of voices that ElevenLabs gives to every account: Rachel and Adam."""


class NamedProvider(BaseModel):
    """An OpenAI-compatible server under a name of its own, usable as `configuration.llm_provider`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    api_key: SecretStr = SecretStr("")


class Settings(BaseSettings):
    """The deployment's settings. Names are the environment variables' names in lower case.

    Errors: pydantic's `ValidationError` names the variable and what is wrong with it.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    data_dir: Path = Field(default=Path(".data"), alias="NUMEN_DATA_DIR")
    prompts_dir: Path = Field(default=Path("backend/prompts"), alias="NUMEN_PROMPTS_DIR")
    host: str = Field(default="127.0.0.1", alias="NUMEN_HOST")
    port: int = Field(default=8000, ge=0, le=65535, alias="NUMEN_PORT")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", alias="NUMEN_LOG_LEVEL")
    log_format: Literal["json", "console"] = Field(default="json", alias="NUMEN_LOG_FORMAT")
    cors_origins: Annotated[list[str], NoDecode] = Field(default=[], alias="NUMEN_CORS_ORIGINS")

    database_url: SecretStr | None = Field(default=None, alias="DATABASE_URL")
    database_owner_url: SecretStr | None = Field(default=None, alias="DATABASE_OWNER_URL")
    database_pool_size: int = Field(default=10, ge=1, le=200, alias="NUMEN_DATABASE_POOL_SIZE")

    auth: Literal["keys", "development"] | None = Field(default=None, alias="NUMEN_AUTH")
    bootstrap_key: SecretStr | None = Field(default=None, alias="NUMEN_BOOTSTRAP_KEY")
    jwt_secret: SecretStr | None = Field(default=None, alias="NUMEN_JWT_SECRET")
    jwt_jwks_url: str | None = Field(default=None, alias="NUMEN_JWT_JWKS_URL")
    jwt_issuer: str | None = Field(default=None, alias="NUMEN_JWT_ISSUER")
    jwt_audience: str | None = Field(default=None, alias="NUMEN_JWT_AUDIENCE")
    jwt_tenant_claim: str = Field(default="tenant_id", alias="NUMEN_JWT_TENANT_CLAIM")

    llm_provider: Literal["openai", "offline"] | None = Field(default=None, alias="NUMEN_LLM_PROVIDER")
    llm_model: str = Field(default="gpt-6-luna", min_length=1, alias="NUMEN_LLM_MODEL")
    llm_connect_seconds: float = Field(default=5.0, gt=0, alias="NUMEN_LLM_CONNECT_SECONDS")
    llm_first_token_seconds: float = Field(default=30.0, gt=0, alias="NUMEN_LLM_FIRST_TOKEN_SECONDS")
    llm_total_seconds: float = Field(default=120.0, gt=0, alias="NUMEN_LLM_TOTAL_SECONDS")
    openai_api_key: SecretStr | None = Field(default=None, alias="OPENAI_API_KEY")
    openai_base_url: str = Field(default="https://api.openai.com/v1", alias="OPENAI_BASE_URL")
    llm_providers: dict[str, NamedProvider] = Field(default={}, alias="NUMEN_LLM_PROVIDERS")

    region: HelpRegion = Field(default="international", alias="NUMEN_REGION")

    memory_extraction: bool = Field(default=True, alias="NUMEN_MEMORY_EXTRACTION")
    qdrant_url: str | None = Field(default=None, alias="QDRANT_URL")
    qdrant_api_key: SecretStr | None = Field(default=None, alias="QDRANT_API_KEY")
    embedder: Literal["minilm", "openai", "lexical"] = Field(default="minilm", alias="NUMEN_EMBEDDER")
    embedder_model: str = Field(default="text-embedding-3-small", min_length=1, alias="NUMEN_EMBEDDER_MODEL")
    embedder_base_url: str | None = Field(default=None, alias="NUMEN_EMBEDDER_BASE_URL")
    embedder_api_key: SecretStr | None = Field(default=None, alias="NUMEN_EMBEDDER_API_KEY")
    embedder_dimensions: int | None = Field(default=None, ge=1, le=65536, alias="NUMEN_EMBEDDER_DIMENSIONS")

    tool_hosts: Annotated[list[str], NoDecode] = Field(default=[], alias="NUMEN_TOOL_HOSTS")
    tool_private_hosts: Annotated[list[str], NoDecode] = Field(default=[], alias="NUMEN_TOOL_PRIVATE_HOSTS")

    elevenlabs_api_key: SecretStr | None = Field(default=None, alias="ELEVENLABS_API_KEY")
    elevenlabs_base_url: str = Field(default="https://api.elevenlabs.io", alias="ELEVENLABS_BASE_URL")
    deepgram_api_key: SecretStr | None = Field(default=None, alias="DEEPGRAM_API_KEY")
    deepgram_base_url: str = Field(default="https://api.deepgram.com", alias="DEEPGRAM_BASE_URL")
    voice_idle_seconds: float = Field(default=60.0, gt=0, le=3600, alias="NUMEN_VOICE_IDLE_SECONDS")
    voice_session_seconds: float = Field(default=1800.0, gt=0, le=86400, alias="NUMEN_VOICE_SESSION_SECONDS")
    voice_sessions_per_tenant: int = Field(default=50, ge=1, le=10000, alias="NUMEN_VOICE_SESSIONS_PER_TENANT")
    voice_aliases: dict[str, str] = Field(default=VOICE_ALIASES, alias="NUMEN_VOICE_ALIASES")

    body_limit_bytes: int = Field(default=1_000_000, ge=1_000, alias="NUMEN_BODY_LIMIT_BYTES")
    header_seconds: float = Field(default=5.0, gt=0, alias="NUMEN_HEADER_SECONDS")
    body_seconds: float = Field(default=15.0, gt=0, alias="NUMEN_BODY_SECONDS")
    keep_alive_seconds: int = Field(default=75, ge=1, le=3600, alias="NUMEN_KEEP_ALIVE_SECONDS")
    shutdown_seconds: float = Field(default=10.0, gt=0, alias="NUMEN_SHUTDOWN_SECONDS")

    @field_validator("bootstrap_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < SMALLEST_BOOTSTRAP_KEY:
            raise ValueError(f"NUMEN_BOOTSTRAP_KEY needs at least {SMALLEST_BOOTSTRAP_KEY} characters")
        return key

    @field_validator("cors_origins", "tool_hosts", "tool_private_hosts", mode="before")
    @classmethod
    def _separated(cls, names: object) -> object:
        return [one.strip() for one in names.split(",") if one.strip()] if isinstance(names, str) else names

    @field_validator("cors_origins")
    @classmethod
    def _named_origins(cls, origins: list[str]) -> list[str]:
        if "*" in origins:
            raise ValueError("NUMEN_CORS_ORIGINS takes named origins; a wildcard would open every tenant to every page")
        if unknown := [one for one in origins if not _ORIGIN.fullmatch(one)]:
            raise ValueError(f"NUMEN_CORS_ORIGINS: {unknown[0]} is no origin such as https://app.example.com")
        return origins

    @field_validator("tool_hosts", "tool_private_hosts")
    @classmethod
    def _hosts(cls, hosts: list[str], info: ValidationInfo) -> list[str]:
        field = info.field_name or ""
        pattern, wanted = _TOOL_HOSTS[field]
        for host in hosts:
            port = host.rpartition("]")[2].partition(":")[2]
            if not pattern.fullmatch(host) or int(port or 1) > 65535:
                raise ValueError(f"{cls.model_fields[field].alias}: {host} is no {wanted}")
        return hosts

    @model_validator(mode="after")
    def _development_stays_at_home(self) -> Self:
        if self.auth == "development" and not self.on_loopback:
            raise ValueError(
                f"NUMEN_AUTH=development asks nobody for a key, so it only works on loopback, not on {self.host}: "
                "set NUMEN_HOST=127.0.0.1 or NUMEN_AUTH=keys"
            )
        return self

    @field_validator("voice_aliases")
    @classmethod
    def _voices(cls, aliases: dict[str, str]) -> dict[str, str]:
        for one in (*aliases, *aliases.values()):
            if not _VOICE_ID.fullmatch(one):
                raise ValueError(f"NUMEN_VOICE_ALIASES: {one!r} is not 1 to 64 letters, digits, - or _")
        return {**VOICE_ALIASES, **aliases}

    @field_validator("qdrant_url", "embedder_base_url", "elevenlabs_base_url", "deepgram_base_url")
    @classmethod
    def _http_address(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and not _HTTP_ADDRESS.fullmatch(url):
            name = cls.model_fields[info.field_name or ""].alias
            raise ValueError(f"{name}: {url} is no address such as http://127.0.0.1:6333")
        return url

    @model_validator(mode="after")
    def _one_embedder(self) -> Self:
        if self.embedder == "openai":
            server = self.embedder_server
            if _OFFICIAL.match(server.base_url) and not server.api_key.get_secret_value().strip():
                raise ValueError(
                    "NUMEN_EMBEDDER=openai has no key for api.openai.com: set OPENAI_API_KEY or "
                    "NUMEN_EMBEDDER_API_KEY, or another server in NUMEN_EMBEDDER_BASE_URL"
                )
            return self
        for name in ("embedder_model", "embedder_base_url", "embedder_api_key"):
            if name in self.model_fields_set:
                alias = type(self).model_fields[name].alias
                raise ValueError(f"{alias} is for NUMEN_EMBEDDER=openai only: set that, or take {alias} out")
        has = OWN_DIMENSIONS[self.embedder]
        if self.embedder_dimensions not in {None, has}:
            raise ValueError(
                f"NUMEN_EMBEDDER_DIMENSIONS={self.embedder_dimensions} cannot be had: {self.embedder} has {has}"
            )
        return self

    @property
    def embedder_server(self) -> NamedProvider:
        """The embeddings API that `openai` stands for. The key of OPENAI_API_KEY goes to OPENAI_BASE_URL only."""
        url = self.embedder_base_url or self.openai_base_url
        key = self.embedder_api_key
        if key is None and url.rstrip("/") == self.openai_base_url.rstrip("/"):
            key = self.openai_api_key
        return NamedProvider(base_url=url, api_key=key or SecretStr(""))

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL is ours, inside the data folder."""
        return self.database_url is None

    @property
    def speaks_locally(self) -> bool:
        """Whether the voice of this machine speaks for agents of a provider without a key: the embedded first run."""
        return self.embedded and self.elevenlabs_api_key is None

    @property
    def on_loopback(self) -> bool:
        """Whether the address we bind is reachable from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def auth_mode(self) -> Literal["keys", "development"]:
        """The mode in force: development is the default only while embedded and on loopback."""
        if self.auth is not None:
            return self.auth
        return "development" if self.embedded and self.on_loopback else "keys"

    @property
    def model_provider(self) -> Literal["openai", "offline"]:
        """What an agent's `openai` provider means here: offline while nothing else is configured."""
        if self.llm_provider is not None:
            return self.llm_provider
        configured = self.openai_api_key is not None or "openai_base_url" in self.model_fields_set
        return "openai" if configured or not self.embedded else "offline"
