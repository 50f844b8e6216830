"""One agent hands a message to another: whom it may ask, and what is said when nobody answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from backend.models.agent_requests import AgentUpdateRequest
from backend.models.tenant import Caller
from backend.ports import ToolOutcome, ToolRequest
from backend.services.tools.hand_off import DEEPEST, HandOff, HandOffTool
from backend.stores.database import Database
from backend.tests.factories import TenantFactory
from backend.tests.services.one_server import OneServer
from backend.tests.services.tools.requests import builtin, request

STEPS: dict[str, Any] = {"steps": [{"kind": "prompt", "id": "draft", "prompt": "Write."}]}


class Asked:
    """Answers, and remembers what was asked."""

    def __init__(self) -> None:
        self.orders: list[HandOff] = []

    async def __call__(self, order: HandOff) -> ToolOutcome:
        self.orders.append(order)
        return ToolOutcome("It is a comet.")


@pytest.fixture
async def caller(tenant: TenantFactory) -> Caller:
    return await tenant()


@pytest.fixture
def house(database: Database) -> OneServer:
    return OneServer(database)


@pytest.fixture
def asked() -> Asked:
    return Asked()


def run(caller: Caller, agent: UUID, depth: int = 0) -> ToolRequest:
    return request(builtin("hand_off"), tenant_id=caller.tenant_id, user_id=caller.user_id, agent_id=agent, depth=depth)


async def hand_off(
    house: OneServer,
    asked: Asked,
    run: ToolRequest,
    agent: str,
    message: str = "What is this?",
    key: UUID | None = None,
) -> ToolOutcome:
    tool = HandOffTool(house.database, asked)
    return await tool.call(run, {"agent": agent, "message": message}, key or uuid4())


async def test_another_agent_answers(house: OneServer, caller: Caller, asked: Asked) -> None:
    first, second = await house.agent(caller), await house.agent(caller, name="Comet expert")
    key = uuid4()
    outcome = await hand_off(house, asked, run(caller, first, depth=1), " Comet expert ", " What is this? ", key)
    assert outcome == ToolOutcome("It is a comet.")
    [order] = asked.orders
    assert order == HandOff(
        tenant_id=caller.tenant_id,
        user_id=caller.user_id,
        agent_id=second,
        message="What is this?",
        key=key,
        depth=1,
        from_agent="Stargazer",
    )


@pytest.mark.parametrize("spelling", ["Comet expert", "COMET EXPERT", "id", "ID"])
async def test_an_agent_is_known_by_its_name_and_its_id(
    house: OneServer, caller: Caller, asked: Asked, spelling: str
) -> None:
    first, second = await house.agent(caller), await house.agent(caller, name="Comet expert", type="conversational")
    named = {"id": str(second), "ID": str(second).upper()}.get(spelling, spelling)
    await hand_off(house, asked, run(caller, first), named)
    assert [order.agent_id for order in asked.orders] == [second]


async def test_an_active_agent_answers_where_an_older_one_of_its_name_does_not(
    house: OneServer, caller: Caller, asked: Asked
) -> None:
    first = await house.agent(caller)
    older = await house.agent(caller, name="Comet expert")
    await house.agents.update(caller, older, AgentUpdateRequest(status="inactive"))
    newer = await house.agent(caller, name="Comet expert")
    await hand_off(house, asked, run(caller, first), "Comet expert")
    assert [order.agent_id for order in asked.orders] == [newer]


async def test_an_agent_does_not_ask_itself(house: OneServer, caller: Caller, asked: Asked) -> None:
    own = await house.agent(caller)
    for named in ("Stargazer", str(own)):
        outcome = await hand_off(house, asked, run(caller, own), named)
        assert outcome.failed
        assert "is you" in outcome.text
    assert asked.orders == []


async def test_who_cannot_be_asked_is_not_asked_and_the_others_are_named(
    house: OneServer, caller: Caller, asked: Asked, tenant: TenantFactory
) -> None:
    own = await house.agent(caller)
    await house.agent(caller, name="Comet expert")
    await house.agent(caller, name="Speaker", type="voice", voice={"voice_id": "calm-female"})
    off = await house.agent(caller, name="Off")
    await house.agents.update(caller, off, AgentUpdateRequest(status="inactive"))
    gone = await house.agent(caller, name="Gone")
    await house.agents.archive(caller, gone)
    steps = await house.agent(caller, name="Steps", type="workflow", workflow=STEPS)
    foreign = await house.agent(await tenant(), name="Foreign")
    unknown = ["Nobody", "Off", "Gone", "Steps", "Foreign", *map(str, (off, gone, steps, foreign, uuid4())), "x" * 255]
    for named in unknown:
        outcome = await hand_off(house, asked, run(caller, own), named)
        assert outcome.failed
        assert f'no active agent called "{named}"' in outcome.text
        assert outcome.text.endswith('there are: "Comet expert", "Speaker".')
    assert asked.orders == []


async def test_no_more_than_twenty_agents_are_named(house: OneServer, caller: Caller, asked: Asked) -> None:
    own = await house.agent(caller)
    for number in range(22):
        await house.agent(caller, name=f'Agent "{number}"')
    outcome = await hand_off(house, asked, run(caller, own), "Nobody")
    assert outcome.text.count('\\"') == 40


async def test_nobody_to_ask_is_said(house: OneServer, caller: Caller, asked: Asked) -> None:
    own = await house.agent(caller)
    assert (await hand_off(house, asked, run(caller, own), "Nobody")).text.endswith("there are: none.")


async def test_nothing_is_handed_on_for_ever(house: OneServer, caller: Caller, asked: Asked) -> None:
    own = await house.agent(caller)
    await house.agent(caller, name="Comet expert")
    outcome = await hand_off(house, asked, run(caller, own, depth=DEEPEST), "Comet expert")
    assert outcome.failed
    assert "handed on 3 times already" in outcome.text
    assert not (await hand_off(house, asked, run(caller, own, depth=DEEPEST - 1), "Comet expert")).failed
    assert len(asked.orders) == 1


async def test_an_empty_message_is_not_handed_on(house: OneServer, caller: Caller, asked: Asked) -> None:
    own = await house.agent(caller)
    await house.agent(caller, name="Comet expert")
    assert (await hand_off(house, asked, run(caller, own), "Comet expert", " \n ")).failed
    assert asked.orders == []
