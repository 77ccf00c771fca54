"""TRL's GRPOTrainer on the timed game: for each line on standard input one optimiser step, and its seconds as a line.

    python benchmarks/trl_side.py MODEL STEPS DIGITS EPISODES LENGTH MOST       (in an environment that has trl)

It samples, plays and learns as TRL does: a dialogue that grows by a reply and a picture each turn. Two things are
mended so that it runs on a random tiny model: every reply counts as a call of the game's tool, and the tool is not
described in the prompt (which spares TRL those tokens).
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ |= {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}

import torch
import transformers
import trl
from datasets import Dataset
from PIL import Image as Pictures
from trl.trainer import grpo_trainer

sys.path[:0] = [str(Path(__file__).parents[0]), str(Path(__file__).parents[1])]
from steps import StepsEnv, prompt  # noqa: E402

IMAGE = "<|image_pad|>"
TEMPLATE = (
    "<s>{% for m in messages %}{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'text' %}{{ p['text'] }}{% elif p['type'] == 'image' %}IMAGE{% endif %}{% endfor %}{% endif %}"
    "{% for call in m.tool_calls or () %}{{ call.function.name }}{{ call.function.arguments | tojson }}{% endfor %}"
    "{% if m['role'] == 'assistant' %}</s>{% else %}{{ '\\n' }}{% endif %}{% endfor %}"
).replace("IMAGE", IMAGE)


def picture(image: Any) -> list[dict[str, Any]]:
    return [{"type": "image", "image": Pictures.fromarray(image)}]


def played(steps: int, seeds: Any) -> type:
    """The game as TRL asks for it: a class whose public methods are tools."""

    class Game:
        def __init__(self) -> None:
            self._env = StepsEnv(steps)
            self._earned = 0.0

        def reset(self, **_: Any) -> list[dict[str, Any]]:
            self._earned = 0.0
            return picture(self._env.reset(seed=next(seeds))[0])

        def play(self, action: str) -> list[dict[str, Any]]:
            """Names the number of dots.

            Args:
                action: the number.
            """
            image, reward, *_ = self._env.step(int(action) - 1)
            self._earned += reward
            return picture(image)

        def get_reward(self) -> float:
            # Episodes of a random agent must differ, or there is nothing to learn from.
            return self._earned + 0.001 * (id(self) % 97)

    return Game


def as_a_call(tokenizer: Any, ids: Any, prefix: Any = None, tools: Any = None) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "play", "arguments": {"action": "1"}}}
    return {"role": "assistant", "content": tokenizer.decode(ids), "tool_calls": [call]}


def processor_of(folder: str) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template, tokenizer.response_template = TEMPLATE, {}
    images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    videos = transformers.Qwen2VLVideoProcessor(patch_size=images.patch_size, merge_size=images.merge_size)
    parts = {"image_processor": images, "tokenizer": tokenizer, "video_processor": videos}
    return transformers.Qwen2_5_VLProcessor(**parts, chat_template=TEMPLATE)


class Paced(transformers.TrainerCallback):  # type: ignore[misc]
    """Waits for a line before each step, and tells its processor seconds afterwards."""

    def __init__(self) -> None:
        self.collected, self.begun = 0.0, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not sys.stdin.readline().strip():
            sys.exit()
        self.collected, self.begun = 0.0, time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        told = {"collect": self.collected, "whole": time.process_time() - self.begun}
        print(json.dumps(told), file=TOLD, flush=True)


def main() -> None:
    folder, steps, digits, episodes, length, most = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(1)
    grpo_trainer.parse_response = as_a_call
    paced = Paced()
    rows = [{"prompt": [{"role": "user", "content": prompt(digits)}]}] * 256
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as out:
        arguments = trl.GRPOConfig(
            output_dir=out,
            max_steps=most,
            per_device_train_batch_size=episodes,
            num_generations=8,
            gradient_accumulation_steps=1,
            learning_rate=1e-6,
            beta=0.0,
            bf16=False,
            gradient_checkpointing=False,
            temperature=1.0,
            max_completion_length=200 * steps,
            max_tool_calling_iterations=steps - 1,
            generation_kwargs={"max_new_tokens": length},
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = trl.GRPOTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=processor_of(folder),
            environment_factory=played(steps, iter(range(10**9))),
            callbacks=[paced],
        )
        generate = trainer._generate

        def timed(prompts: Any) -> Any:
            started = time.process_time()
            found = generate(prompts)
            paced.collected += time.process_time() - started
            return found

        trainer._generate = timed
        trainer.train()


if __name__ == "__main__":
    # What libraries print must not stand among the figures.
    TOLD, sys.stdout = sys.stdout, sys.stderr
    main()
