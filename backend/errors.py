"""Every error the platform raises on purpose. Knows nothing of HTTP; `routers/problems.py` holds the one map.

NumenError
├── NotFound                 absent, or another tenant's: the two look the same
│   ├── AgentNotFound, VersionNotFound, ThreadNotFound, MessageNotFound, RunNotFound, ApiKeyNotFound
│   ├── MemoryNotFound, UserNotFound, ReceiptNotFound, ErasureNotFound
│   ├── SessionNotFound, CallNotFound, WebhookNotFound
├── Invalid                  what was sent cannot be honoured; `errors` says where and why
│   ├── InvalidContract
│   └── IdempotencyKeyReused the same key came with another request
├── Conflict                 the state does not allow it
│   ├── AgentArchived, AgentInactive, AgentNotConversational, ThreadBusy, RunFinished
│   ├── AgentHasNoRuns       it chats, and is not run
│   ├── AgentTakesNoEvents   its contract says that something else sets it off
│   ├── ApprovalPending      the thread waits until a person has agreed to a tool call, or not
│   ├── ApprovalAnswered     somebody did that already
│   ├── SessionState         the session is not where this is possible: no consent, no plan, or over
│   ├── RequestInProgress    the same Idempotency-Key is being worked on
│   └── SecretAlreadyShown   the key was made before, and its secret was in that answer only
├── PreconditionFailed       If-Match names another version
├── Unauthenticated          no credentials, or none that we know
│   └── SignatureRefused     an event of a webhook that we do not know, or that its sender did not sign
├── Forbidden                known, but not allowed
├── Unavailable              a part we depend on is away; worth another try
│   ├── DatabaseUnavailable, ShuttingDown
│   ├── IndexUnavailable     the search index of memories does not answer
│   │   └── IndexMissing     it answers, and has no collection: it was wiped
│   ├── EmbedderUnavailable  texts cannot be turned into vectors right now
│   ├── RunStopped           the turn was ended before its answer was whole; what had been said is kept
│   └── TooManyConversations the tenant talks with so many agents already
├── ConversationEnded        a conversation by voice cannot go on
│   ├── ConversationIdle     nothing came from the client
│   └── ConversationOver     it has lasted as long as one may
├── ModelError               the language model did not answer; the user's message is kept
│   ├── ModelUnavailable     dead, refusing, rate limiting, breaker open, or its key is missing
│   ├── ModelTimeout         slower than its deadline
│   └── ModelFailed          answered with an error, rubbish, or half an answer
├── ToolError                a tool could not be used; told to the model, or recorded with the step
│   ├── ToolUnavailable      no connection, an address that may not be reached, or rubbish
│   └── ToolTimeout          slower than its grant allows
├── SpeechError              nothing could be said, or heard
│   ├── SpeechUnavailable    dead, refusing, rate limiting, or its key is missing
│   ├── SpeechTimeout        slower than its deadline
│   └── SpeechFailed         answered with an error or rubbish
│       └── UnknownVoice     it has no such voice, or does not speak that language
├── StepFailed               a step of a run failed, after the tries that it had
├── RunTooLong               the run used up its time, its iterations or its budget
├── BrokenWall               the database would let a tenant see another's rows; the server does not start
└── Misconfigured            a setting is wrong or two do not go together; the server does not start
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: `pointer` is an RFC 6901 JSON pointer, `detail` is written for people."""

    pointer: str
    detail: str


class NumenError(Exception):
    """Root of the tree; `detail` is written for the caller, `context` becomes members of the answer."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(self, detail: str, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context


class NotFound(NumenError):
    code, title = "not-found", "No such thing"


class AgentNotFound(NotFound):
    code, title = "agent-not-found", "No such agent"


class VersionNotFound(NotFound):
    code, title = "version-not-found", "No such version"


class ThreadNotFound(NotFound):
    code, title = "thread-not-found", "No such thread"


class MessageNotFound(NotFound):
    code, title = "message-not-found", "No such message"


class RunNotFound(NotFound):
    code, title = "run-not-found", "No such run"


class ApiKeyNotFound(NotFound):
    code, title = "api-key-not-found", "No such API key"


class MemoryNotFound(NotFound):
    code, title = "memory-not-found", "No such memory"


class UserNotFound(NotFound):
    code, title = "user-not-found", "No such user"


class ReceiptNotFound(NotFound):
    code, title = "receipt-not-found", "No receipt of this message"


class ErasureNotFound(NotFound):
    code, title = "erasure-not-found", "No such erasure"


class SessionNotFound(NotFound):
    code, title = "session-not-found", "No such session"


class CallNotFound(NotFound):
    code, title = "call-not-found", "No such tool call"


class WebhookNotFound(NotFound):
    code, title = "webhook-not-found", "No such webhook"


class Invalid(NumenError):
    code, title = "invalid-request", "The request does not fit the schema"

    def __init__(self, detail: str, errors: Sequence[FieldError] = (), **context: Any) -> None:
        super().__init__(detail, **context)
        self.errors = tuple(errors)


class InvalidContract(Invalid):
    code, title = "invalid-contract", "The contract cannot be honoured"


class IdempotencyKeyReused(Invalid):
    code, title = "idempotency-key-reused", "This Idempotency-Key came with another request"


class Conflict(NumenError):
    code, title = "conflict", "The state does not allow this"


class AgentArchived(Conflict):
    code, title = "agent-archived", "The agent is archived"


class AgentNotConversational(Conflict):
    code, title = "agent-not-conversational", "This type of agent does not chat"


class AgentInactive(Conflict):
    code, title = "agent-inactive", "The agent is switched off"


class ThreadBusy(Conflict):
    code, title = "thread-busy", "The thread is still answering"


class RunFinished(Conflict):
    code, title = "run-finished", "The run has ended"


class AgentHasNoRuns(Conflict):
    code, title = "agent-has-no-runs", "This type of agent is talked to, not run"


class AgentTakesNoEvents(Conflict):
    code, title = "agent-takes-no-events", "Events do not set this agent off"


class ApprovalPending(Conflict):
    code, title = "approval-pending", "A tool call waits for a person"


class ApprovalAnswered(Conflict):
    code, title = "approval-answered", "The tool call was answered already"


class SessionState(Conflict):
    code, title = "session-state", "The session does not allow this now"


class RequestInProgress(Conflict):
    code, title = "request-in-progress", "The same request is being worked on"


class SecretAlreadyShown(Conflict):
    code, title = "secret-already-shown", "The secret was shown once"


class PreconditionFailed(NumenError):
    code, title = "precondition-failed", "The version is another than If-Match says"


class Unauthenticated(NumenError):
    code, title = "unauthenticated", "Who are you?"


class SignatureRefused(Unauthenticated):
    code, title = "signature-refused", "The signature does not hold"


class Forbidden(NumenError):
    code, title = "forbidden", "This is not allowed to you"


class Unavailable(NumenError):
    code, title = "unavailable", "A part of the service is not reachable"


class DatabaseUnavailable(Unavailable):
    code, title = "database-unavailable", "The database is not reachable"


class IndexUnavailable(Unavailable):
    code, title = "index-unavailable", "The search index of memories does not answer"


class IndexMissing(IndexUnavailable):
    code, title = "index-missing", "The search index of memories was wiped"


class EmbedderUnavailable(Unavailable):
    code, title = "embedder-unavailable", "Texts cannot be searched by meaning right now"


class ShuttingDown(Unavailable):
    code, title = "shutting-down", "The server is stopping"


class ModelError(NumenError):
    code, title = "model-error", "The language model did not answer"


class ModelUnavailable(ModelError):
    code, title = "model-unavailable", "The language model is not reachable"


class ModelTimeout(ModelError):
    code, title = "model-timeout", "The language model was too slow"


class ModelFailed(ModelError):
    code, title = "model-failed", "The language model failed"


class ToolError(NumenError):
    code, title = "tool-error", "The tool could not be used"


class ToolUnavailable(ToolError):
    code, title = "tool-unavailable", "The tool is not reachable"


class ToolTimeout(ToolError):
    code, title = "tool-timeout", "The tool was too slow"


class SpeechError(NumenError):
    code, title = "speech-error", "Nothing could be said, or heard"


class SpeechUnavailable(SpeechError):
    code, title = "speech-unavailable", "The voice provider is not reachable"


class SpeechTimeout(SpeechError):
    code, title = "speech-timeout", "The voice provider was too slow"


class SpeechFailed(SpeechError):
    code, title = "speech-failed", "The voice provider failed"


class UnknownVoice(SpeechFailed):
    code, title = "unknown-voice", "The voice provider has no such voice"


class StepFailed(NumenError):
    code, title = "step-failed", "A step failed"


class RunTooLong(NumenError):
    code, title = "run-too-long", "The run used up what it was given"


class RunStopped(Unavailable):
    code, title = "run-stopped", "The run was stopped"


class TooManyConversations(Unavailable):
    code, title = "too-many-conversations", "Too many conversations at once"


class ConversationEnded(NumenError):
    code, title = "conversation-ended", "The conversation has ended"


class ConversationIdle(ConversationEnded):
    code, title = "conversation-idle", "Nobody is there"


class ConversationOver(ConversationEnded):
    code, title = "conversation-over", "The conversation has lasted long enough"


class BrokenWall(NumenError):
    code, title = "broken-wall", "The wall between tenants has a gap"


class Misconfigured(NumenError):
    code, title = "misconfigured", "The settings do not work"


def revived(code: str, detail: str) -> NumenError:
    """A recorded error as what it was: the class of this code with the same words; `StepFailed` for an unknown code."""
    kinds: list[type[NumenError]] = [NumenError]
    for kind in kinds:
        if kind.code == code and kind is not NumenError:
            return kind(detail)
        kinds.extend(kind.__subclasses__())
    return StepFailed(detail)
