"""The composition of everything that runs: the driver, and who begins and follows runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.graphs.compiled_agents import GraphCache
from backend.ports import LanguageModel, Memory, Toolbox, ToolOutcome
from backend.services.agent_calls import AgentCalls, AskAgent
from backend.services.agent_interaction_service import AgentInteractionService
from backend.services.chat_work import ChatWork
from backend.services.desk import SessionProgress, Work
from backend.services.model_catalog import ModelCatalog
from backend.services.run_driver import Equipment, RunDriver
from backend.services.run_registry import RunRegistry
from backend.services.run_service import RunService
from backend.services.safety_desk import CrisisGate, SafetyDesk
from backend.services.task_service import TaskService
from backend.services.task_work import TaskWork
from backend.services.thread_turns import ThreadTurns
from backend.services.tools.hand_off import HandOff
from backend.services.turn_ledger import TurnLedger
from backend.stores.database import Database
from backend.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class RunGround:
    """What runs stand on. `patience_seconds`: how long a turn waits for the turns of its thread before it."""

    database: Database
    ledger: TurnLedger
    registry: RunRegistry
    catalog: ModelCatalog
    model: LanguageModel
    memory: Memory
    gate: CrisisGate
    sessions: SessionProgress
    scripts: Work
    metrics: Metrics
    patience_seconds: float


@dataclass(frozen=True, slots=True)
class RunParts:
    """Who drives runs, and who begins, reads and answers them."""

    driver: RunDriver
    interactions: AgentInteractionService
    tasks: TaskService
    runs: RunService


def build_runs(ground: RunGround, make_toolbox: Callable[[AskAgent], Toolbox]) -> RunParts:
    """The parts, joined. An agent that asks another goes in at the front again, so the tools are made with that way."""

    async def ask(order: HandOff) -> ToolOutcome:
        return await calls.ask(order)

    tasks = TaskWork(ask)
    equipment = Equipment(
        graphs=GraphCache(),
        catalog=ground.catalog,
        model=ground.model,
        memory=ground.memory,
        toolbox=make_toolbox(ask),
        safety=SafetyDesk(ground.gate, ground.sessions, ground.metrics),
        works={
            "chat": ChatWork(ground.database, ground.memory, ground.sessions),
            "workflow": tasks,
            "autonomous": tasks,
            "script": ground.scripts,
        },
    )
    turns = ThreadTurns(ground.patience_seconds)
    driver = RunDriver(ground.database, ground.ledger, ground.registry, turns, equipment, ground.metrics)
    interactions = AgentInteractionService(driver)
    calls = AgentCalls(interactions)
    return RunParts(
        driver,
        interactions,
        TaskService(ground.database, driver),
        RunService(ground.database, ground.registry, driver),
    )
