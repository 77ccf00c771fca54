"""SIGKILL at any moment: a run that is killed again and again, and resumed, ends as one that never was, bit for bit."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

from chat_server import Server, pictures

from campaign import agents
from campaign.child import start
from campaign.outcome import Outcome
from gtr import tasks
from gtr.checkpoint import latest
from gtr.config.io import config_to_dict
from gtr.report import Run
from gtr.report.files import encode

LONGEST = 300.0
"""Seconds after which a run that nobody disturbs counts as hung."""
WRITTEN = ("turns", "probes", "lessons")
ALIKE = "runs that were killed and ended alike"


@dataclass
class Street:
    """One way to train: what is run, in how many processes, and what must hold of it besides."""

    place: Path
    settings: Mapping[str, object]
    processes: int = 1
    method: str = "gtr"
    also: Callable[[Path], Iterator[str]] = lambda run: iter(())
    """What is wrong with a run that was killed, in words."""

    def words(self, name: str) -> list[str]:
        """The command that begins the run, or goes on with it."""
        if (run := self.place / "runs" / name / "config.json").exists():
            return ["train", "--resume", str(run.parent)]
        config = agents.config(self.place, method=self.method, **{**self.settings, "name": name})
        (self.place / "config.json").write_bytes(encode(config_to_dict(config)))
        return ["train", "--config", str(self.place / "config.json")]

    def begin(self, name: str) -> list[Any]:
        """Its processes, started."""
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(self.processes)}
        words, made = self.words(name), []
        for rank in range(self.processes):
            own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} if self.processes > 1 else {}
            made.append(start(words, self.place / f"log{rank}", own))
        return made

    def said(self) -> str:
        """The end of what the processes printed."""
        return "\n".join(log.read_text(errors="replace")[-1500:] for log in sorted(self.place.glob("log*")))


def run(count: int, seed: int, street: Street) -> Outcome:
    """So many kills."""
    outcome, random = Outcome(), Random(seed)
    start(["--version"], street.place / "log").join()  # The first one waits until everything is imported.
    started = time.monotonic()
    if not finished(street, "straight", outcome):
        return outcome
    whole = time.monotonic() - started
    straight = contents(street.place / "runs" / "straight")
    number = ends = 0
    while outcome.tried < count and not outcome.findings:
        number += 1
        name = f"broken{number}"
        while outcome.tried < count and killed(street, name, random.uniform(0, 1.1 * whole), random):
            outcome.tried += 1
            check(street, name, straight, outcome, f"seed {seed}, kill {outcome.tried}")
        if finished(street, name, outcome):
            ends += 1
            found = contents(street.place / "runs" / name)
            different = [key for key, value in straight.items() if found.get(key) != value]
            outcome.expect(not different, f"{name} differs from the undisturbed run in {different} (seed {seed})")
    outcome.measured = {ALIKE: str(ends)}
    return outcome


def killed(street: Street, name: str, seconds: float, random: Random) -> bool:
    """Starts or resumes the run and kills it after so many seconds; False where it had ended by itself."""
    processes = street.begin(name)
    processes[0].join(seconds)
    if processes[0].exitcode is not None:
        for one in processes:
            one.join(LONGEST)
        return processes[0].exitcode != 0
    victims = random.sample(processes, random.randint(1, len(processes)))
    for one in victims:
        one.kill()
    for one in processes:
        one.join(random.uniform(0, 1.0))
        if one.is_alive():
            one.terminate()  # As a launcher does with those that are left.
            one.join(10)
            one.kill()
        one.join()
    return True


def finished(street: Street, name: str, outcome: Outcome) -> bool:
    """Lets the run go to its end."""
    processes = street.begin(name)
    for one in processes:
        one.join(LONGEST)
    codes = [one.exitcode for one in processes]
    for one in processes:
        one.kill()
    outcome.expect(codes == [0] * len(codes), f"{name} ends with {codes}:\n{street.said()}")
    return codes == [0] * len(codes)


def check(street: Street, name: str, straight: Mapping[str, Any], outcome: Outcome, when: str) -> None:
    """What must hold of a run that was killed, whenever that was."""
    path = street.place / "runs" / name
    if not path.exists():
        return
    run = Run(path)
    lines = curve(path)
    outcome.expect(lines == straight["metrics"][: len(lines)], f"{when}: metrics are not the beginning of the others")
    saved = latest(path / "checkpoints")
    done = 0 if saved is None else int(saved.name[-5:])
    outcome.expect(done <= len(lines), f"{when}: {len(lines)} lines, but a checkpoint of update {done}")
    for update in run.updates_with_turns():
        alike = (path / f"turns/update_{update:05d}.jsonl.gz").read_bytes() == straight.get(f"turns/{update}")
        outcome.expect(alike or update > len(lines), f"{when}: turns of update {update} differ")
        run.turns(update)
    outcome.expect(not run.problems, f"{when}: {run.problems}")
    for wrong in street.also(path):
        outcome.find(f"{when}: {wrong}")


def curve(run: Path) -> list[dict[str, float]]:
    """Complete lines of metrics, without those that measure time or a server's pace."""
    file = run / "metrics.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    timed = ("seconds/", "corrector/")
    return [{k: v for k, v in json.loads(line).items() if not k.startswith(timed)} for line in lines]


def contents(run: Path) -> dict[str, Any]:
    """What two runs must have alike."""
    found: dict[str, Any] = {"metrics": curve(run)}
    for name in WRITTEN:
        for file in (run / name).iterdir():
            found[f"{name}/{int(file.name[7:12])}{'' if 'process' not in file.name else file.name}"] = file.read_bytes()
    last = run / "checkpoints" / f"update_{agents.UPDATES:05d}"
    for file in sorted([*last.glob("model/*.safetensors"), *last.glob("algorithm.safetensors")]):
        found[file.name] = file.read_bytes()
    return found


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# -- the streets ------------------------------------------------------------------------------------------------------
def oracle(count: int, seed: int, place: Path) -> Outcome:
    """One process, corrected by the oracle."""
    return run(count, seed, Street(place, {}))


def two_processes(count: int, seed: int, place: Path) -> Outcome:
    """Two processes of one run, one of them or both killed."""
    return run(count, seed, Street(place, {}, processes=2))


def teachers(count: int, seed: int, place: Path) -> Outcome:
    """Guided by the merged past, by thoughts and by scores, and by another model."""
    outcome, other = Outcome(), str(agents.model(place / "teacher"))
    rows = [("turbo_sft", {}), ("turbo_kl", {}), ("opd", {}), ("opd", {"algo.teacher": other})]
    ends = 0
    for number, (method, settings) in enumerate(rows):
        share = (count + number) // len(rows)
        if share:
            (place / str(number)).mkdir()
            made = run(share, seed + number, Street(place / str(number), settings, method=method))
            outcome.add(made)
            ends += int(made.measured.get(ALIKE, 0))
    outcome.measured = {ALIKE: str(ends)}
    return outcome


def api(count: int, seed: int, place: Path) -> Outcome:
    """Corrected over HTTP, by a server a fifth of whose answers fail."""
    faults = ("drop", "429", "500", "truncated", "not_json")
    with teaching(fault_share=0.2, faults=faults, seed=seed) as server:
        chosen = {"base_url": server.url, "structured": "json_schema", "tools": "off", "retries": 20, "timeout": 20.0}
        settings = {"guidance.corrector": "chat", **{f"corrector.{key}": value for key, value in chosen.items()}}
        street = Street(place, settings)

        def also(run: Path) -> Iterator[str]:
            verdicts, requests = (lines(run / "corrector" / f"{name}-0.jsonl") for name in ("verdicts", "requests"))
            asked = [line["key"] for line in verdicts if line["source"] == "asked"]
            if len(asked) != len(set(asked)):
                yield "something was paid for twice"
            settled = {line["request"] for line in requests if "outcome" in line}
            reserved = [line["request"] for line in requests if "at_most" in line]
            if not settled <= set(reserved):
                yield "a request was settled that was never reserved"
            if len(reserved) != len(set(reserved)):
                yield "two requests have one number"

        street.also = also
        outcome = run(count, seed, street)
        kept = [lines(file) for file in place.glob("runs/*/corrector/requests-0.jsonl")]
        sent = sum("at_most" in line for one in kept for line in one)
        # The question whether the server answers at all, at each start, is asked before there is a run to keep it.
        came = sum(len(pictures(body)) > 0 for body in server.requests)
        outcome.expect(came <= sent, f"{came} requests came, {sent} are on file")
    return outcome


@contextmanager
def teaching(**settings: Any) -> Iterator[Server]:
    """A server that knows every picture of the number line."""
    task = tasks.load(tasks.settings("numberline", prompt="compact", image_size=96))
    env = task.make_env()
    with Server(task, structure="json_schema", **settings) as server:
        for target, current in permutations(range(env.unwrapped.max_position + 1), 2):
            image, info = env.reset(seed=0, options={"target": target, "current": current})
            server.show(task.observe(image, info).image, task.truth(info))
        yield server


def lines(file: Path) -> list[dict[str, Any]]:
    """Complete lines of a file."""
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] if file.exists() else []


__all__: Sequence[str] = ("api", "oracle", "run", "teachers", "two_processes")
assert os.name == "posix"
