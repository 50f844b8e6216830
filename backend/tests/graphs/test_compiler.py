"""Graphs: what a contract needs and no more, compiled once, the newest version of each agent."""

from __future__ import annotations

from uuid import uuid4

from backend.graphs.compiled_agents import GraphCache
from backend.graphs.compiler import compile_graph
from backend.tests.models.contracts import TENANT, contract


def test_a_graph_has_the_nodes_that_the_contract_needs() -> None:
    remembering = compile_graph(contract())
    forgetful = compile_graph(contract(configuration={"memory_enabled": False}))
    assert {"recall", "respond"} <= set(remembering.nodes)
    assert "recall" not in forgetful.nodes
    assert "respond" in forgetful.nodes
    assert compile_graph(contract(name="Other")) is remembering


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
