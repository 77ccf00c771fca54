"""An API corrector whose server fails: every turn, verdict, lesson and dollar accounted for."""

from collections import Counter
from pathlib import Path
from typing import Any

import chat_cases
import pytest
from chat_server import FAULTS, Server
from hostile import kinds

from campaign import KEY
from campaign.kills import lines
from campaign.outcome import Outcome
from gtr.guidance import make_corrector
from gtr.tasks.reply import parse, write
from gtr.types import Judgement

ENVS, TURNS = 32, 20
SHARE = 0.4
"""Of requests that fail."""


class Foul(Server):
    """Fails in the ways of a broken server, and sends the replies of a hostile one."""

    foul: tuple[bytes, ...] = ()

    def fault_foul(self, http: Any, body: Any) -> None:
        """One of the hostile replies, drawn anew every time."""
        http.close_connection = True
        http.wfile.write(self._random.choice(self.foul))
        http.wfile.flush()


def run(count: int, seed: int, place: Path) -> Outcome:
    """Rollouts until so many requests have been sent."""
    outcome, sent, number = Outcome(), 0, 0
    judged: Counter[str] = Counter()
    while sent < count:
        number += 1
        sent += rollout(outcome, judged, seed + 1000 * number, place / str(number))
        outcome.tried = sent
    share = judged["absent"] / max(1, judged.total())
    outcome.measured = {"turns": f"{judged.total():,}", "turns without a verdict": f"{share:.1%}"}
    return outcome


def rollout(outcome: Outcome, judged: Counter[str], seed: int, place: Path) -> int:
    """One rollout; returns how many requests it took."""
    task = chat_cases.load(chat_cases.settings(None))
    hostile = [raw for name, raw in kinds(KEY, {"seen": "cards", "thoughts": ""}).items() if "status 40" not in name]
    faults = (*(one for one in FAULTS if one != "hang"), "foul", "foul")
    with pytest.MonkeyPatch.context() as patch, Foul(task, fault_share=SHARE, faults=faults, seed=seed) as server:
        server.foul = tuple(raw for raw in hostile if len(raw) < 500_000)
        chosen = {"tools": "off", "structured": "json_schema", "timeout": 3.0, "retries": 6, "probe_seconds": 0.3}
        chosen |= {"in_flight": 64, "budget_usd": 1000.0, "patience": 60.0, "breaker": 50}
        config = chat_cases.settings(server.url, envs=ENVS, turns=TURNS, **chosen)
        corrector = make_corrector(config, task, place)
        policy = chat_cases.ScriptedPolicy(task, seed=seed)
        collector = chat_cases.collector_of(config, server, corrector, policy, patch)
        turns = outcome.call(lambda: collector.collect().flat(), (), f"rollout: seed {seed}", 600.0) or []
        values = corrector.metrics()
        corrector.close()
    account(outcome, turns, task, place, f"seed {seed}")
    judged.update(str(turn.verdict.judgement) for turn in turns)
    billed = (server.billed_in * 2.5 + server.billed_out * 10) / 1e6
    spent = values["corrector/usd"] + values["corrector/usd_unsure"]
    outcome.expect(billed <= spent <= 1000.0, f"seed {seed}: ${billed:.4f} billed, ${spent:.4f} booked")
    outcome.expect(values["corrector/requests"] >= len(server.requests), f"seed {seed}: requests are missing")
    return len(server.requests)


def account(outcome: Outcome, turns: list[Any], task: Any, place: Path, when: str) -> None:
    """One verdict per turn, on file as it was learnt from; lessons of the turn's own picture; every request settled."""
    verdicts = lines(place / "corrector" / "verdicts-0.jsonl")
    kept = {(one["env"], one["episode"], one["turn"]): one["verdict"] for one in verdicts}
    places = {(turn.env, turn.episode, turn.index) for turn in turns}
    outcome.expect(places == kept.keys(), f"{when}: {len(places)} turns, {len(kept)} verdicts on file")
    for turn in turns:
        noted = kept.get((turn.env, turn.episode, turn.index), {})
        outcome.expect(noted.get("judgement") == turn.verdict.judgement, f"{when}: a verdict is not the one on file")
        if turn.verdict.judgement is Judgement.INCORRECT:
            lesson = parse(write(turn.verdict.thought, "1"), True, task.thought_keys)
            right = all(task.check(turn.truth, lesson, None).values())
            outcome.expect(right, f"{when}: a lesson of another turn")
    requests = lines(place / "corrector/requests-0.jsonl")
    reserved = {one["request"] for one in requests if "at_most" in one}
    settled = {one["request"] for one in requests if "outcome" in one}
    outcome.expect(reserved == settled, f"{when}: {len(reserved - settled)} requests are left open")
    every = [file for file in place.rglob("*") if file.is_file()]
    outcome.expect(not [one for one in every if KEY.encode() in one.read_bytes()], f"{when}: the key is in a file")
