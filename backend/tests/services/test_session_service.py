"""Sessions: begun by rule, led by the interview, agreed to by the person, and open to nobody else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from backend.errors import (
    AgentArchived,
    AgentInactive,
    AgentNotFound,
    Invalid,
    ModelFailed,
    ModelTimeout,
    SessionNotFound,
    SessionState,
    UserNotFound,
)
from backend.models.agent_requests import AgentUpdateRequest
from backend.models.page import Cursor
from backend.models.session import SessionCreate
from backend.models.tenant import Caller, Role
from backend.models.thread import ThreadUpdate
from backend.ports import ReadAnswers
from backend.scripts.default_agents import load_default_agents
from backend.stores.database import Database
from backend.tests.factories import TenantFactory, make_user
from backend.tests.fakes import fails, says
from backend.tests.services.interviewing import (
    ANSWERS,
    GOALS,
    consented,
    default_agents,
    hears,
    interviewed,
    say,
    tutors,
)
from backend.tests.services.one_server import OneServer, one_server

if TYPE_CHECKING:
    from asyncpg import Connection

NEW = SessionCreate()


@pytest.fixture
async def server(database: Database) -> AsyncGenerator[OneServer]:
    async with one_server(database) as opened:
        yield opened


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


# --- how it begins ---


async def test_the_oldest_that_can_do_their_part_are_the_ones(server: OneServer, caller: Caller) -> None:
    intake, therapy = await default_agents(server, caller)
    younger = {
        name: contract.model_dump(mode="json", exclude_none=True) for name, contract in load_default_agents().items()
    }
    server.clock.advance(seconds=1)
    for parts in younger.values():
        await server.agent(caller, **{**parts, "name": "Younger"})
    session = await server.sessions.create(caller, NEW)
    assert (session.intake_agent_id, session.therapy_agent_id) == (intake, therapy)
    await server.agents.archive(caller, intake)
    assert (await server.sessions.create(caller, NEW)).intake_agent_id not in (intake, therapy)


async def test_it_begins_with_the_opening_and_the_first_question_without_a_model(
    server: OneServer, caller: Caller
) -> None:
    intake, therapy = await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    assert (session.status, session.stage, session.plan) == ("pending", "greeting", None)
    assert (session.user_id, session.intake_agent_id, session.therapy_agent_id) == (caller.user_id, intake, therapy)
    assert session.response.startswith("Welcome. I am glad that you are here.")
    assert session.response.endswith("Tell me as many goals as you like.")
    assert server.model.requests == []
    (opening,) = await server.messages(caller, session.intake_thread_id)
    assert (opening.role, opening.content) == ("assistant", session.response)
    assert opening.metadata == {"session_id": str(session.id)}
    assert await server.sessions.get(caller, session.id) == session


async def test_other_agents_can_be_named(server: OneServer, caller: Caller) -> None:
    intake, therapy = await tutors(server, caller)
    session = await server.sessions.create(caller, SessionCreate(intake_agent_id=intake, therapy_agent_id=therapy))
    assert session.response == (
        "Hello! Five quick questions, and your lesson writes itself. What do you want to be able to do in Spanish?"
    )


async def test_a_repeated_request_is_the_same_session(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    operation = uuid4()
    first = await server.sessions.create(caller, NEW, operation)
    assert await server.sessions.create(caller, NEW, operation) == first
    assert len(await server.messages(caller, first.intake_thread_id)) == 1
    assert await server.sessions.create(caller, NEW) != first


async def test_without_such_agents_there_is_no_session(server: OneServer, caller: Caller) -> None:
    with pytest.raises(AgentNotFound, match="has `interview`: make one, or name one as intake_agent_id"):
        await server.sessions.create(caller, NEW)
    _, lesson = await tutors(server, caller)
    await server.agents.archive(caller, lesson)
    with pytest.raises(AgentNotFound, match="has `script`: make one, or name one as therapy_agent_id"):
        await server.sessions.create(caller, NEW)


async def test_agents_must_be_able_to_do_their_part(server: OneServer, caller: Caller) -> None:
    intake, therapy = await default_agents(server, caller)
    steps = {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]}
    working = await server.agent(caller, type="workflow", workflow=steps)
    refused: list[tuple[dict[str, Any], str, str]] = [
        ({"intake_agent_id": therapy}, "/intake_agent_id", "has no `interview`"),
        ({"therapy_agent_id": intake}, "/therapy_agent_id", "has no `script`"),
        ({"intake_agent_id": working}, "/intake_agent_id", "talks to nobody"),
    ]
    for named, pointer, reason in refused:
        with pytest.raises(Invalid, match=reason) as refusal:
            await server.sessions.create(caller, SessionCreate(**named))
        assert [error.pointer for error in refusal.value.errors] == [pointer]
    with pytest.raises(AgentNotFound):
        await server.sessions.create(caller, SessionCreate(intake_agent_id=uuid4()))
    await server.agents.update(caller, therapy, AgentUpdateRequest(status="inactive"))
    with pytest.raises(AgentInactive):
        await server.sessions.create(caller, SessionCreate(therapy_agent_id=therapy))
    await server.agents.archive(caller, intake)
    with pytest.raises(AgentArchived):
        await server.sessions.create(caller, SessionCreate(intake_agent_id=intake))
    assert (await server.sessions.list_page(caller, None, 10, 0)).total == 0


# --- the interview ---


async def test_each_answer_takes_the_interview_on(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    chosen = {name: ANSWERS[name] for name in ("tone", "session_type", "voice_id")}
    told: list[tuple[str, dict[str, Any], str, str]] = [
        ("Hello", {}, "intake", "goals"),
        ("I want to sleep", {"answers": {"goals": GOALS}}, "intake", "preferences"),
        ("Calm, for sleep, a woman", {"answers": chosen}, "intake", "preferences"),
        ("The sea", {"answers": {"notes": "the sea"}}, "intake", "confirmation"),
        ("Rather gentle", {"answers": {"tone": "gentle"}}, "intake", "confirmation"),
        ("Yes", {"confirms": True}, "intake", "complete"),
    ]  # fmt: skip
    for number, (message, parts, status, stage) in enumerate(told):
        session = await say(server, caller, session, message, f"Answer {number}", **parts)
        assert (session.status, session.stage, session.response) == (status, stage, f"Answer {number}")
        assert session.plan == (ANSWERS | {"tone": "gentle"} if stage == "complete" else None)
    lines = (await server.sessions.transcript(caller, session.id)).lines
    assert [line.speaker for line in lines] == ["intake", *(["person", "intake"] * 6)]
    assert [line.text for line in lines[1:3]] == ["Hello", "Answer 0"]
    assert [line.said_at for line in lines] == sorted(line.said_at for line in lines)


async def test_it_goes_on_in_another_process(server: OneServer, caller: Caller, database: Database) -> None:
    await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    await say(server, caller, session, "Sleep", "Which tone?", answers={"goals": GOALS})
    async with one_server(database) as other:
        after = await say(other, caller, session, "Calm", "Which type?", answers={"tone": "calm"})
        assert (after.stage, after.response) == ("preferences", "Which type?")
        task = other.model.requests[0].task
        assert isinstance(task, ReadAnswers)
        assert (task.progress.answers, task.progress.asked) == ({"goals": tuple(GOALS)}, "tone")


async def test_an_answer_that_fails_leaves_the_interview_where_it_was(
    server: OneServer, caller: Caller, owner: Connection
) -> None:
    await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    server.model.then(hears(answers={"goals": GOALS}), fails(ModelTimeout("slow"), "Which"))
    operation = uuid4()
    with pytest.raises(ModelTimeout):
        await server.sessions.say(caller, session.id, "Sleep", operation)
    after = await server.sessions.get(caller, session.id)
    assert (after.status, after.stage, after.response) == ("intake", "greeting", session.response)
    server.model.then(hears(answers={"goals": GOALS}), says("Which tone?"))
    again = await server.sessions.say(caller, session.id, "Sleep", operation)
    assert (again.stage, again.response) == ("preferences", "Which tone?")
    said = [message.content for message in await server.messages(caller, session.intake_thread_id)]
    assert said == [session.response, "Sleep", "Which tone?"]
    server.model.then(says("?"), says("?"))
    with pytest.raises(ModelFailed):
        await server.sessions.say(caller, session.id, "Hm")
    stored = await owner.fetchval("SELECT progress ->> 'asked' FROM sessions")
    assert stored == "tone"


async def test_a_repeated_message_is_answered_once_also_when_it_was_the_last(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    await say(server, caller, session, "All at once", "Is that right?", answers=ANSWERS)
    server.model.then(hears(confirms=True), says("Thank you."))
    operation = uuid4()
    first = await server.sessions.say(caller, session.id, "Yes", operation)
    assert first.stage == "complete"
    assert await server.sessions.say(caller, session.id, "Yes", operation) == first
    assert len(server.model.requests) == 4


async def test_a_complete_interview_takes_no_more_messages(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await interviewed(server, caller)
    before = await server.messages(caller, session.intake_thread_id)
    with pytest.raises(SessionState, match="The interview is complete"):
        await server.sessions.say(caller, session.id, "One more thing")
    assert await server.messages(caller, session.intake_thread_id) == before


async def test_an_agent_that_lost_its_interview_cannot_go_on(server: OneServer, caller: Caller) -> None:
    intake, _ = await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    await server.agents.update(caller, intake, AgentUpdateRequest(interview=None))
    with pytest.raises(SessionState, match="no interview any more"):
        await server.sessions.say(caller, session.id, "Hello")


async def test_an_archived_thread_is_not_talked_in(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    await server.threads.update(caller, session.intake_thread_id, ThreadUpdate(status="archived"))
    with pytest.raises(SessionState, match="thread is archived"):
        await server.sessions.say(caller, session.id, "Hello")
    await server.threads.update(caller, session.intake_thread_id, ThreadUpdate(status="active"))
    assert (await say(server, caller, session, "Hello", "Welcome.")).stage == "goals"
    said = (await server.messages(caller, session.intake_thread_id))[1]
    assert (said.content, said.metadata) == ("Hello", {"session_id": str(session.id)})


# --- consent ---


async def test_the_person_agrees_to_the_plan_once(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await interviewed(server, caller)
    assert session.consented_at is None
    agreed = await server.sessions.consent(caller, session.id, accepted=True)
    assert agreed.consented_at is not None
    again = await server.sessions.consent(caller, session.id, accepted=True)
    assert again.consented_at == agreed.consented_at


@pytest.mark.parametrize("accepted", [True, False])
async def test_there_is_nothing_to_agree_to_before_the_interview_is_complete(
    server: OneServer, caller: Caller, accepted: bool
) -> None:
    await default_agents(server, caller)
    session = await server.sessions.create(caller, NEW)
    with pytest.raises(SessionState, match=r"not complete yet \(stage greeting\)"):
        await server.sessions.consent(caller, session.id, accepted=accepted)
    with pytest.raises(SessionState, match="not complete yet"):
        await server.sessions.write(caller, session.id)


async def test_who_does_not_agree_says_what_is_wrong(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    refused = await server.sessions.consent(caller, session.id, accepted=False)
    assert (refused.status, refused.stage, refused.plan, refused.consented_at) == ("intake", "confirmation", None, None)
    assert refused.response == "Did I understand you well, or would you like to change something?"
    assert await server.sessions.consent(caller, session.id, accepted=False) == refused
    with pytest.raises(SessionState, match="not complete yet"):
        await server.sessions.write(caller, session.id)
    changed = await say(server, caller, session, "Gentle", "So gentle?", answers={"tone": "gentle"}, confirms=True)
    assert (changed.stage, changed.plan) == ("confirmation", None)
    done = await say(server, caller, session, "Yes", "Thank you.", confirms=True)
    assert (done.stage, done.plan) == ("complete", ANSWERS | {"tone": "gentle"})
    assert done.consented_at is None


async def test_consent_stands_in_the_audit_log(server: OneServer, caller: Caller, database: Database) -> None:
    await default_agents(server, caller)
    session = await consented(server, caller)
    await server.sessions.consent(caller, session.id, accepted=False)
    async with database.tenant(caller.tenant_id) as tx:
        entries = await tx.audit.of_subject(session.id)
    assert [(entry["action"], entry["actor_id"]) for entry in entries] == [
        ("session.consented", caller.user_id), ("session.consent_refused", caller.user_id),
    ]  # fmt: skip


# --- a crisis ---


async def test_after_a_crisis_the_session_is_over(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    session = await interviewed(server, caller)
    await server.sessions.consent(caller, session.id, accepted=False)
    asked = len(server.model.requests)
    over = await server.sessions.say(caller, session.id, "This is a CRISIS")
    assert len(server.model.requests) == asked
    assert (over.status, over.response) == ("failed", "Help is there (suicide).")
    assert over.error is not None
    assert (over.error["code"], over.error["kind"]) == ("crisis", "suicide")
    with pytest.raises(SessionState, match="sounded like a crisis"):
        await server.sessions.say(caller, session.id, "I am fine")
    for accepted in (True, False):
        with pytest.raises(SessionState, match="sounded like a crisis"):
            await server.sessions.consent(caller, session.id, accepted=accepted)
    with pytest.raises(SessionState, match="sounded like a crisis"):
        await server.sessions.write(caller, session.id)
    lines = (await server.sessions.transcript(caller, session.id)).lines
    assert [line.text for line in lines[-2:]] == ["This is a CRISIS", "Help is there (suicide)."]


# --- whose it is ---


async def test_sessions_are_listed_newest_first(server: OneServer, caller: Caller) -> None:
    await default_agents(server, caller)
    made = [await server.sessions.create(caller, NEW) for _ in range(5)]
    seen, cursor = list[Any](), None
    while True:
        page = await server.sessions.list_page(caller, cursor, 2, 0)
        assert page.total == 5
        seen += page.items
        if page.next is None:
            break
        cursor = Cursor.decode(page.next.encode())
    assert seen == made[::-1]
    assert (await server.sessions.list_page(caller, None, 2, 3)).items == made[1::-1]


async def test_a_member_sees_their_own_and_an_admin_the_tenants(
    server: OneServer, caller: Caller, database: Database
) -> None:
    await default_agents(server, caller)
    member, other = [await make_user(database, caller.tenant_id) for _ in range(2)]
    session = await interviewed(server, member)
    for asking in (
        server.sessions.get(other, session.id),
        server.sessions.say(other, session.id, "Hello"),
        server.sessions.consent(other, session.id, accepted=True),
        server.sessions.write(other, session.id),
        server.sessions.script(other, session.id),
        server.sessions.transcript(other, session.id),
        server.sessions.get(member, uuid4()),
    ):
        with pytest.raises(SessionNotFound):
            await asking
    assert (await server.sessions.list_page(other, None, 10, 0)).total == 0
    assert (await server.sessions.list_page(caller, None, 10, 0)).items == [session]
    assert await server.sessions.get(caller, session.id) == session


async def test_an_admin_may_hold_a_session_with_somebody(server: OneServer, caller: Caller, database: Database) -> None:
    await default_agents(server, caller)
    member, other = [await make_user(database, caller.tenant_id) for _ in range(2)]
    session = await consented(server, caller, user_id=member.user_id)
    assert session.user_id == member.user_id
    assert (await server.sessions.get(member, session.id)).consented_at is not None
    assert (await server.threads.get(member, session.intake_thread_id)).user_id == member.user_id
    own = await server.sessions.create(member, SessionCreate(user_id=member.user_id))
    assert own.user_id == member.user_id
    for asker, named in (
        (member, other.user_id),
        (caller, uuid4()),
        (replace(other, role=Role.VIEWER), member.user_id),
    ):
        with pytest.raises(UserNotFound):
            await server.sessions.create(asker, SessionCreate(user_id=named))
