"""VoiceService: conversations by voice, so many of each tenant at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from backend.errors import AgentNotConversational, Invalid, SessionNotFound, SpeechUnavailable, TooManyConversations
from backend.graphs.compiled_agents import CONVERSATIONAL_TYPES
from backend.models.agent import AgentContract
from backend.models.run import ChatRequest
from backend.models.tenant import Caller
from backend.models.voice import VoiceSettings
from backend.ports import SpeechToText
from backend.services.agent_interaction_service import AgentInteractionService
from backend.services.hearing import Hearing
from backend.services.live_run import LiveRun
from backend.services.run_registry import RunRegistry
from backend.services.session_service import SessionService
from backend.services.speech_service import SpeechService, voice_of
from backend.services.thread_manager import ThreadManager
from backend.services.voice.spoken_turn import Mouth
from backend.services.voice.voice_session import Limits, Say, Talk, VoiceSession
from backend.services.voice.voice_socket import VoiceSocket
from backend.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class VoiceLimits:
    """Of every conversation, and how many a tenant may have at once in this process."""

    each: Limits
    of_one_tenant: int


class VoiceService:
    """Conversations belong to their sockets; the turns of them belong to the server, as all turns do."""

    def __init__(
        self,
        interactions: AgentInteractionService,
        threads: ThreadManager,
        sessions: SessionService,
        speech: SpeechService,
        registry: RunRegistry,
        metrics: Metrics,
        limits: VoiceLimits,
    ) -> None:
        self._interactions = interactions
        self._threads = threads
        self._sessions = sessions
        self._speech = speech
        self._registry = registry
        self._metrics = metrics
        self._limits = limits
        self._open: set[VoiceSession] = set()
        self._of: Counter[UUID] = Counter()

    async def converse(
        self,
        caller: Caller,
        agent_id: UUID,
        thread_id: UUID | None,
        socket: VoiceSocket,
        *,
        session_id: UUID | None = None,
    ) -> None:
        """Talk until the client goes: in a thread, or in the interview of a session of this agent.

        Errors: `AgentNotFound`, `AgentArchived`, `AgentInactive`, `AgentNotConversational`, `ThreadNotFound`,
        `SessionNotFound`; `Invalid` for an agent without a voice, or a thread and a session at once;
        `SpeechUnavailable` without anybody to speak; `TooManyConversations`; those of `VoiceSession.run`.
        """
        self._registry.refuse_when_closing()
        if session_id is None:
            talk = await self._talk(caller, agent_id, thread_id, socket)
        else:
            talk = await self._interview(caller, agent_id, thread_id, session_id, socket)
        if self._of[caller.tenant_id] >= self._limits.of_one_tenant:
            raise TooManyConversations(
                f"You have {self._limits.of_one_tenant} conversations already; end one, or try again later.",
                retry_after=30,
            )
        session = VoiceSession(talk)
        self._of[caller.tenant_id] += 1
        self._open.add(session)
        self._metrics.voice_sessions.inc()
        try:
            await session.run()
        finally:
            self._metrics.voice_sessions.dec()
            self._open.discard(session)
            self._of[caller.tenant_id] -= 1
            if not self._of[caller.tenant_id]:
                del self._of[caller.tenant_id]

    def close(self) -> None:
        """The server stops: every conversation ends."""
        for session in self._open:
            session.close()

    async def _talk(self, caller: Caller, agent_id: UUID, thread_id: UUID | None, socket: VoiceSocket) -> Talk:
        contract = await self._speech.contract(caller, agent_id)
        if thread_id is not None:
            thread_id = (await self._threads.get_or_create_thread(caller, agent_id, thread_id)).id

        async def say(message: str, thread: UUID | None, hearing: Hearing) -> LiveRun:
            request = ChatRequest(message=message, thread_id=thread)
            return await self._interactions.start(caller, agent_id, request, hearing=hearing)

        return self._between(caller, contract, thread_id, socket, say)

    async def _interview(
        self, caller: Caller, agent_id: UUID, thread_id: UUID | None, session_id: UUID, socket: VoiceSocket
    ) -> Talk:
        session = await self._sessions.get(caller, session_id)
        if session.intake_agent_id != agent_id:
            raise SessionNotFound("This agent has no session with this id.")
        if thread_id is not None:
            raise Invalid("Name a thread or a session, not both: a session has a thread of its own.")
        contract = await self._speech.contract(caller, agent_id)

        async def say(message: str, _: UUID | None, hearing: Hearing) -> LiveRun:
            return await self._sessions.begin_turn(caller, session_id, message, hearing=hearing)

        return self._between(caller, contract, session.intake_thread_id, socket, say)

    def _between(
        self, caller: Caller, contract: AgentContract, thread_id: UUID | None, socket: VoiceSocket, say: Say
    ) -> Talk:
        _refuse_without_chat(contract)
        voice = voice_of(contract)
        ears, deaf = self._ears(voice)
        return Talk(
            agent_id=contract.id,
            name=contract.name,
            thread_id=thread_id,
            voice=voice,
            mouth=Mouth(self._speech, caller.tenant_id, self._speech.chosen(voice), socket, self._metrics),
            ears=ears,
            deaf=deaf,
            say=say,
            limits=self._limits.each,
        )

    def _ears(self, voice: VoiceSettings) -> tuple[SpeechToText | None, str]:
        try:
            return self._speech.ears(voice), ""
        except SpeechUnavailable as error:
            return None, f"{error.detail} Until then nobody listens: type instead."


def _refuse_without_chat(contract: AgentContract) -> None:
    if contract.type not in CONVERSATIONAL_TYPES:
        raise AgentNotConversational(
            f"An agent of type {contract.type} works by itself and does not talk: start it with POST "
            f"/agents/{{id}}/runs."
        )
