"""Graphs: what a contract needs and no more, compiled once, the newest version of each agent."""

from __future__ import annotations

from uuid import uuid4

from backend.graphs.compiled_agents import GraphCache
from backend.graphs.compiler import compile_graph
from backend.tests.models.contracts import TENANT, contract


def test_a_graph_has_the_nodes_that_the_contract_needs() -> None:
    remembering = compile_graph(contract(), "chat")
    forgetful = compile_graph(contract(configuration={"memory_enabled": False}), "chat")
    assert {"recall", "respond"} <= set(remembering.nodes)
    assert "recall" not in forgetful.nodes
    assert "respond" in forgetful.nodes
    assert "use_tools" not in remembering.nodes
    assert compile_graph(contract(name="Other"), "chat") is remembering


def test_tools_are_a_node_where_some_are_granted() -> None:
    grant = {"kind": "builtin", "name": "current_time"}
    on, off = ({"tools_enabled": enabled} for enabled in (True, False))
    using = compile_graph(contract(configuration=on, capabilities={"tools": [grant]}), "chat")
    assert {"recall", "respond", "use_tools"} <= set(using.nodes)
    for idle in (contract(configuration=on), contract(configuration=off, capabilities={"tools": [grant]})):
        assert "use_tools" not in compile_graph(idle, "chat").nodes


def test_each_purpose_has_its_graph() -> None:
    asked = compile_graph(contract(), "interview")
    assert {"recall", "listen", "ask_next"} <= set(asked.nodes)
    part = {"name": "only", "purpose": "say it", "minutes": 1}
    assert "write" in compile_graph(contract(script={"parts": [part]}), "script").nodes
    autonomous = compile_graph(contract(type="autonomous"), "work")
    steps = [{"kind": "prompt", "id": "draft", "prompt": "Write."}]
    working = compile_graph(contract(type="workflow", workflow={"steps": steps}), "work")
    assert autonomous is not working


def test_the_cache_holds_the_newest_version_of_each_agent() -> None:
    cache, agent = GraphCache(), contract()
    assert cache.get(TENANT, agent.id) is None
    first = cache.add(TENANT, agent)
    assert cache.get(TENANT, agent.id) is first
    assert cache.get(uuid4(), agent.id) is None
    second = cache.add(TENANT, contract(version="1.1.0", name="Other"))
    assert cache.get(TENANT, agent.id) is second
    assert second.prompt != first.prompt


def test_the_cache_forgets_who_was_not_talked_to() -> None:
    cache = GraphCache(size=2)
    agents = [contract(id=str(uuid4())) for _ in range(3)]
    cache.add(TENANT, agents[0])
    cache.add(TENANT, agents[1])
    assert cache.get(TENANT, agents[0].id) is not None
    cache.add(TENANT, agents[2])
    assert [cache.get(TENANT, agent.id) is not None for agent in agents] == [True, False, True]
