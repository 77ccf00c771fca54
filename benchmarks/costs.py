"""What a corrector costs per game and model: tokens of real requests x list prices, as a table for docs/CORRECTORS.md.

    python benchmarks/costs.py [--thoughts 8] [--tasks points24 ezpoints ...]

The thoughts are those of `gtr corrector-eval`, the answers right ones (tests/chat_server.py: the solver behind the
protocol). Everything sent and answered is counted in tokens of o200k_base, which these models have in common: messages,
tools and schemas as JSON, `FRAME` tokens around each message; a picture as each model's published rule says for
300 x 300 pixels. A turn is asked about with the task's tools by function calling, or without.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpe_openai

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chat_server import Server  # type: ignore[import-not-found]

from gtr import tasks
from gtr.config import Config
from gtr.config.presets import build
from gtr.guidance import make_corrector
from gtr.guidance.benchmark import benchmark_cases
from gtr.guidance.chat.costs import PRICES

FRAME = 3
"""Tokens that set a message apart from the next, and begin the answer (OpenAI's cookbook)."""
PICTURES = {"gpt-4o": 255, "gpt-4o-mini": 8500, "gpt-4.1": 255, "gpt-4.1-mini": 162, "gpt-5": 210, "gpt-5-mini": 162}
"""Tokens of one picture of 300 x 300 pixels at high detail."""
RUN = 15_000
"""Turns of one of the paper's runs."""


@dataclass(frozen=True)
class Turn:
    """What one turn takes, on average."""

    requests: float
    text: float
    """Tokens sent, without the pictures."""
    out: float

    def usd(self, model: str) -> float:
        """Dollars for 1,000 such turns."""
        sent = self.text + self.requests * PICTURES[model]
        price = PRICES[model]
        return (price.input * sent + price.output * self.out) / 1000


class Counting(Server):  # type: ignore[misc]
    """Says how many tokens of text it got and gave; pictures are counted apart."""

    words = bpe_openai.get_encoding("o200k_base")

    def completion(self, body: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = super().completion(body, message)
        said = [*body["messages"], {"content": ""}]
        sent = [self.tokens(part) for one in said for part in parts(one)]
        sent += [self.tokens(body[key]) for key in ("tools", "response_format") if key in body]
        written = sum(self.tokens(part) for part in parts(message))
        reply["usage"] = {
            "prompt_tokens": sum(sent) + FRAME * len(said),
            "completion_tokens": written,
            "total_tokens": sum(sent) + FRAME * len(said) + written,
        }
        return reply

    def tokens(self, part: Any) -> int:
        return len(self.words.encode(part if isinstance(part, str) else json.dumps(part, separators=(",", ":"))))


def parts(message: dict[str, Any]) -> list[Any]:
    """What of a message is text: its content without pictures, and the functions it calls."""
    content = message.get("content") or ""
    texts = [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
    return [*texts, *(call["function"] for call in message.get("tool_calls") or ())]


def measured(config: Config, thoughts: int) -> Turn:
    """The average over right and wrong thoughts."""
    task = tasks.load(config.task)
    put = benchmark_cases(task, thoughts, 0)
    with Counting(task) as server:
        for sample in put:
            server.show(sample.case.prompt.image, sample.case.truth)
        corrector = make_corrector(replace(config, corrector=replace(config.corrector, base_url=server.url)), task)
        assert corrector is not None
        for future in corrector.judge([sample.case for sample in put]):
            future.result()
        values = corrector.metrics()
        corrector.close()
    asked = len(put) - values["corrector/cache_hits"]
    requests = values["corrector/requests"]
    return Turn(requests / asked, values["corrector/tokens_in"] / asked, values["corrector/tokens_out"] / asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--thoughts", type=int, default=8)
    parser.add_argument("--tasks", nargs="+", default=[name for name, row in tasks.TASKS.items() if not row.extra])
    chosen = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = "none"
    models = list(PICTURES)
    print("| game | tools | requests | text in | out | " + " | ".join(models) + f" | {RUN:,} turns, {models[0]} |")
    print("|" + "---|" * (len(models) + 6))
    for name in chosen.tasks:
        config = build("gtr", name, "7b")
        offered = bool(tasks.load(config.task).corrector_spec().tools)
        for tools in ("call", "off") if offered else ("off",):
            corrector = replace(config.corrector, structured="json_schema", tools=tools)
            guidance = replace(config.guidance, corrector="chat")
            turn = measured(replace(config, corrector=corrector, guidance=guidance), chosen.thoughts)
            cells = [f"{turn.requests:.0f}", f"{turn.text:,.0f}", f"{turn.out:.0f}"]
            cells += [f"{turn.usd(model):.2f}" for model in models]
            cells.append(f"${turn.usd(models[0]) * RUN / 1000:.0f}")
            said = tools if offered else "it has none"
            print("| " + " | ".join([name, said, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
