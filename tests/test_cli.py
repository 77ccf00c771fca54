"""The command line as a user meets it: what it accepts, and the one plain message for each mistake."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gtr import cli, commands, options, parsing
from gtr.cli import disk_is_full, run
from gtr.config import ReportConfig
from gtr.config_io import config_keys
from gtr.errors import ConfigError, RunError
from gtr.presets import METHODS, build
from gtr.report import Run, RunFolder
from gtr.report.files import append_line


def gtr(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gtr", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)


def new_run(folder: Path, name: str = "run", method: str = "gtr", task: str = "points24") -> Path:
    config = build(method, task)
    config = replace(config, train=replace(config.train, updates=30), report=ReportConfig(trackers=()))
    config = replace(config, runs=str(folder), name=name)
    with RunFolder.create(config) as made:
        return made.path


# -- what is accepted ---------------------------------------------------------------------------------------------


def test_train_takes_the_presets_defaults_and_the_users_words() -> None:
    words = "rl4vlm --task ezpoints --scale 7b --ppo.clip 0.3 --task.hands 24 --train.adam_betas .8 .9 --seed 7"
    config = parsing.parse_train(words.split()).config
    paper = build("rl4vlm", "ezpoints", "7b")
    assert config == replace(
        paper,
        seed=7,
        ppo=replace(paper.ppo, clip=0.3),
        task=replace(paper.task, hands=24),
        train=replace(paper.train, adam_betas=(0.8, 0.9)),
    )


def test_values_of_every_kind() -> None:
    words = "gtr --task.thought False --guidance.corrector none --task.hands None --guidance.stop_reward -3"
    more = "--task.options a 1 b 2 --policy.value_hidden --report.trackers --sft.enabled False"
    config = parsing.parse_train([*words.split(), *more.split()]).config
    assert (config.task.thought, config.task.hands, config.guidance.stop_reward) == (False, None, -3.0)
    assert (config.task.options, config.policy.value_hidden, config.sft.enabled) == ({"a": "1", "b": "2"}, (), False)
    assert config.report.trackers == ()


def test_guidance_fades_over_half_of_the_run_that_was_asked_for() -> None:
    usual = build("gtr", "points24").train.updates // 2
    for words, faded in (("", usual), ("--train.updates 40", 20), ("--train.updates=9 --guidance.anneal_updates 3", 3)):
        config = parsing.parse_train(["annealed_cloning", "--task", "points24", *words.split()]).config
        assert config.guidance.anneal_updates == faded


def test_a_task_of_ones_own_is_named_by_import_path() -> None:
    assert parsing.parse_train(["gtr", "--task=games.py:Maze"]).config.task.name == "games.py:Maze"


def test_resume_keeps_all_settings_and_may_raise_the_updates(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    before = RunFolder.open(path, main=False).config
    chosen = parsing.parse_train(["--resume", str(path), "--train.updates", "99"])
    assert chosen.resume == path
    assert chosen.config == replace(before, train=replace(before.train, updates=99))


def test_eval_gives_each_run_its_own_policy_on_the_common_task(tmp_path: Path) -> None:
    first, second = new_run(tmp_path, "first", task="ezpoints"), new_run(tmp_path, "second", "rl4vlm")
    chosen, configs = parsing.parse_eval([str(first), str(second), "random", "--split", "new-look", "--sample"])
    assert (chosen.agents, chosen.split, chosen.sample) == ((str(first), str(second), "random"), "new-look", True)
    assert [config.task.name for config in configs] == ["ezpoints"] * 3
    assert [config.policy.temperature for config in configs] == [
        build("gtr", "ezpoints").policy.temperature,
        build("rl4vlm", "points24").policy.temperature,
        build("gtr", "ezpoints").policy.temperature,
    ]


def test_eval_of_a_run_on_another_game_keeps_its_way_of_seeing(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    _, (config,) = parsing.parse_eval([str(path), "--task", "ezpoints", "--task.deck", "dark"])
    fresh = build("gtr", "ezpoints").task
    assert config.task == replace(fresh, deck="dark")


def test_compare_hands_every_other_key_to_all_runs() -> None:
    words = "gtr rl4vlm --task ezpoints --guidance.stop_reward -1 --seeds 1 2 --train.updates=3 --out here --jobs 2"
    chosen, overrides = parsing.parse_compare(words.split())
    assert (chosen.methods, chosen.seeds, chosen.out, chosen.jobs) == (("gtr", "rl4vlm"), (1, 2), Path("here"), 2)
    assert overrides == ["--guidance.stop_reward", "-1", "--train.updates=3"]
    train = parsing.parse_train(options.train_words(chosen, "rl4vlm", overrides))
    assert (train.config.preset, train.config.task.name, train.config.train.updates) == ("rl4vlm", "ezpoints", 3)


# -- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("frain", "did you mean 'train'"),
        ("train", "write the preset first"),
        ("train --task ezpoints gtr", "write the preset first"),
        ("train gtrr", "did you mean 'gtr'"),
        ("train gtr --task point24", "did you mean 'points24'"),
        ("train gtr --train.minibatch 0", "train.minibatch is 0: give 1 or more"),
        ("train gtr --ppo.gamma 2", "ppo.gamma is 2.0: give a number from 0 to 1"),
        ("train --resume nowhere", "nowhere is not a run folder"),
        ("train gtr --task no.py:Such", "task file 'no.py' does not exist"),
        ("train gtr --policy.model ./nowhere", "policy.model: './nowhere' is no folder here"),
        ("sft gtr --policy.model tiny-lava", "did you mean 'tiny-llava'"),
        ("compare gtr --policy.model nowhere", "policy.model: 'nowhere' is no folder here"),
        ("sft", "write the preset first: gtr sft"),
        ("eval", "write the agents first"),
        ("eval random --greedy --sample", "exclude each other"),
        ("eval random --episodes 0", "--episodes 0"),
        ("eval random --json no/such/folder.json", "no/such does not exist"),
        ("compare", "write the methods first"),
        ("compare gtr gtr", "repeat themselves"),
        ("compare gtr rl4vml", "did you mean 'rl4vlm'"),
        ("compare gtr --seeds 1 1", "repeat themselves"),
        ("compare gtr --jobs 0", "--jobs 0"),
        ("compare gtr --seed 3", "--seed is set by the comparison itself"),
        ("compare gtr --ppo.clip 0", "ppo.clip is 0.0: give more than 0"),
    ],
)
def test_mistakes_get_one_plain_message(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("Error: ")
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("words", "hints"),
    [
        ("train gtr --ppo.clpi 0.1", ["--ppo.clpi", "--ppo.clip"]),
        ("train gtr --train.minibach 4", ["--train.minibach", "--train.minibatch"]),
        ("train gtr --ppo.clip much", ["--ppo.clip", "much"]),
        ("train gtr --task.deck marble", ["--task.deck", "marble", "classic"]),
        ("train gtr --scale 8b", ["8b"]),
        ("compare gtr --ppo.clpi 1", ["--ppo.clpi", "--ppo.clip"]),
        ("eval random --split other", ["--split", "new-look"]),
        ("tasks all", ["all"]),
    ],
)
def test_wrong_keys_and_values_name_the_right_ones(
    words: str, hints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if "8b" in words:
        assert run(words.split()) == 2
    else:
        with pytest.raises(SystemExit) as leaving:
            run(words.split())
        assert leaving.value.code == 2
    text = capsys.readouterr().err
    assert all(hint in text for hint in hints)


def test_resume_refuses_what_would_change_what_was_learnt(tmp_path: Path) -> None:
    path = str(new_run(tmp_path))
    for words, message in [
        (["--resume", path, "--ppo.clip", "0.3"], r"ppo\.clip cannot change"),
        (["--resume", path, "--task", "ezpoints"], "leave out --task"),
        (["gtr", "--resume", path], "leave out 'gtr'"),
        (["--resume", path, "--train.updates", "0"], r"train\.updates is 0"),
    ]:
        with pytest.raises(ConfigError, match=message):
            parsing.parse_train(words)


# -- stopping -----------------------------------------------------------------------------------------------------


def failing(error: BaseException) -> Any:
    def command(_: Sequence[str]) -> None:
        raise error

    return command


def outcome(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    error.add_note("runs/x stands after update 3 of 30; go on with: gtr train --resume runs/x")
    monkeypatch.setattr(cli, "COMMANDS", {"train": failing(error)})
    return run(["train"]), capsys.readouterr().err


def test_whatever_ends_a_run_is_told_with_the_way_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "runs/x/metrics.jsonl")
    for error, code, words in [
        (KeyboardInterrupt(), 130, "Stopped."),
        (RunError("runs/x is odd"), 2, "Error: runs/x is odd"),
        (full, 1, "The disk is full; free some space."),
        (PermissionError(errno.EACCES, "Permission denied", "/forbidden"), 2, "choose another place with --runs"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "The disk is full"),
    ]:
        found, text = outcome(error, monkeypatch, capsys)
        assert found == code
        assert words in text
        assert "go on with: gtr train --resume runs/x" in text


def test_defects_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {"train": failing(ZeroDivisionError("a bug"))})
    with pytest.raises(ZeroDivisionError):
        run(["train"])


def test_a_full_disk_is_seen_behind_other_errors() -> None:
    outer = RuntimeError("cannot write file")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert disk_is_full(outer)
    assert not disk_is_full(OSError(errno.ENOENT, "No such file"))


SLOW_COMMAND = """
import sys, time
from pathlib import Path
from gtr import cli
from gtr.report import RunFolder

def work(_):
    with RunFolder.open(sys.argv[1]) as folder:
        folder.write_metrics(4, {"success": 1.0})
        try:
            print("working", flush=True)
            time.sleep(60)
        finally:
            print("cleaning", flush=True)
            time.sleep(float(sys.argv[2]))

cli.COMMANDS = {"train": work}
sys.exit(cli.run(["train"]))
"""


def start_slow(path: Path, cleaning: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SLOW_COMMAND, str(path), str(cleaning)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_says_where_the_run_stands(tmp_path: Path, number: signal.Signals) -> None:
    path = new_run(tmp_path)
    process = start_slow(path, cleaning=0)
    process.send_signal(number)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"{path} stands after update 4 of 30; go on with: gtr train --resume {path}" in text
    assert "Traceback" not in text


def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    process = start_slow(path, cleaning=60)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "cleaning\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - started < 20
    assert [line["update"] for line in Run(path).metrics()] == [4]


def small_disk(folder: Path) -> bool:
    """Mounts one megabyte at `folder`, where this machine lets us."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_a_really_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not small_disk(disk):
        pytest.skip("this machine does not let us mount a small disk")
    try:
        file = disk / "metrics.jsonl"
        append_line(file, {"update": 1})
        (disk / "rest").write_bytes(b"x" * 200_000)
        with pytest.raises(OSError, match="No space") as full:
            append_line(file, {"update": 2, "text": "x" * 200_000})
        assert disk_is_full(full.value)
        assert file.read_text() == '{"update": 1}\n'
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# -- start-up and help --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["['--help']", "['train', 'gtrr']", "['compare', 'gtr', 'gtr']"])
def test_help_and_mistakes_come_without_torch(words: str) -> None:
    seen = "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    code = f"import sys; from gtr.cli import run; run({words}); {seen}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_program_itself() -> None:
    assert "gtr compare" in gtr("--help").stdout
    assert gtr().stdout == gtr("--help").stdout
    assert gtr("--version").stdout == commands.version() + "\n"
    wrong = gtr("train", "gtrr")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_a_closed_pipe_is_no_crash() -> None:
    done = subprocess.run(
        f"{sys.executable} -m gtr --help | true; exit ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_help_shows_every_setting_and_preset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsing.parse_train(["--help"])
    text = capsys.readouterr().out
    assert [key for key in config_keys() if f"--{key} " not in text] == []
    assert all(method in text for method in METHODS)


def test_tasks_lists_the_games(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("numberline", "ezpoints", "points24", "blackjack", "file.py:Class"))


def test_doctor_finds_this_machine_fit_and_names_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from packaging.requirements import Requirement

    from gtr import doctor

    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "ok  torch" in text
    assert "Everything is ready" in text
    lost, old = doctor.package(Requirement("no-such-package>=1")), doctor.package(Requirement("numpy>=999"))
    mend = f"{sys.executable} -m pip install 'no-such-package>=1'"
    assert lost.line() == f"!!  no-such-package is missing\n      -> {mend}"
    assert not old.fine
    assert "but >=999 is needed" in old.text
    assert "ok  gtr[chat]: openai " in text
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["no-such-package>=1; extra == 'wandb'"])
    assert doctor.extra("wandb").line() == (
        "ok  no gtr[wandb] (Weights & Biases as tracker); pip install 'gtr[wandb]' brings it"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "--runs" in doctor.writable(Path()).remedy
