"""The command line as a user meets it: what it accepts, and the one plain message for each mistake."""

import errno
import logging
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

from gtr import __version__, cli
from gtr.cli import disk_is_full, run
from gtr.cli.argv import flag_value
from gtr.cli.compare import parse_compare
from gtr.cli.eval import parse_eval
from gtr.cli.train import parse_train
from gtr.config import ReportConfig
from gtr.config.io import changed, settings_of
from gtr.config.presets import METHODS, build
from gtr.errors import ConfigError, RunError
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


DOTS = f"{Path(__file__).parents[2] / 'examples' / 'dots.py'}:DotsTask"


# -- what is accepted ---------------------------------------------------------------------------------------------


def test_train_takes_the_presets_defaults_and_the_users_words() -> None:
    words = "rl4vlm --task ezpoints --scale 7b --algo.clip 0.3 --task.hands 24 --train.adam_betas .8 .9 --seed 7"
    config = parse_train(words.split()).config
    paper = build("rl4vlm", "ezpoints", "7b")
    assert config == replace(
        paper,
        seed=7,
        algo=replace(paper.algo, clip=0.3),
        task=replace(paper.task, hands=24),
        train=replace(paper.train, adam_betas=(0.8, 0.9)),
    )


def test_the_last_word_of_a_flag_counts() -> None:
    config = parse_train(["gtr", "--task", "ezpoints", "--seed", "1", "--task=blackjack", "--seed", "2"]).config
    assert (config.task.name, config.seed) == ("blackjack", 2)
    cases = {(): None, ("--a",): "", ("--a", "1", "--a=2"): "2", ("--a=2", "--a", "1"): "1", ("--ab", "1"): None}
    assert {words: flag_value(words, "--a") for words in cases} == cases


def test_values_of_every_kind() -> None:
    words = "gtr --task.thought False --guidance.corrector none --task.hands None --guidance.stop_reward -3"
    more = "--task.order sorted --policy.value_hidden --report.trackers --sft.enabled False"
    config = parse_train([*words.split(), *more.split()]).config
    assert config.guidance.stop_reward == -3.0
    assert config.task == replace(build("gtr").task, thought=False, hands=None, order="sorted")  # type: ignore[call-arg]
    assert (config.policy.value_hidden, config.sft.enabled) == ((), False)
    assert config.report.trackers == ()


def test_guidance_fades_over_half_of_the_run_that_was_asked_for() -> None:
    usual = build("gtr", "points24").train.updates // 2
    for words, faded in (("", usual), ("--train.updates 40", 20), ("--train.updates=9 --guidance.anneal_updates 3", 3)):
        config = parse_train(["annealed_cloning", "--task", "points24", *words.split()]).config
        assert config.guidance.anneal_updates == faded


def test_a_task_of_ones_own_is_named_by_import_path() -> None:
    assert parse_train(["gtr", f"--task={DOTS}"]).config.task.name == DOTS


def test_resume_keeps_all_settings_and_may_raise_the_updates(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    before = RunFolder.open(path, main=False).config
    chosen = parse_train(["--resume", str(path), "--train.updates", "99"])
    assert chosen.resume == path
    assert chosen.config == replace(before, train=replace(before.train, updates=99))


def test_eval_gives_each_run_its_own_policy_on_the_common_task(tmp_path: Path) -> None:
    first, second = new_run(tmp_path, "first", task="ezpoints"), new_run(tmp_path, "second", "rl4vlm")
    chosen, configs = parse_eval([str(first), str(second), "random", "--split", "new-look", "--sample"])
    assert (chosen.agents, chosen.split, chosen.sample) == ((str(first), str(second), "random"), ("new-look",), True)
    assert [config.task.name for config in configs] == ["ezpoints"] * 3
    assert [config.policy.temperature for config in configs] == [
        build("gtr", "ezpoints").policy.temperature,
        build("rl4vlm", "points24").policy.temperature,
        build("gtr", "ezpoints").policy.temperature,
    ]


def test_eval_of_a_run_on_another_game_keeps_its_way_of_seeing(tmp_path: Path) -> None:
    path = new_run(tmp_path)
    _, (config,) = parse_eval([str(path), "--task", "ezpoints", "--task.deck", "dark"])
    fresh = build("gtr", "ezpoints").task
    assert config.task == replace(fresh, deck="dark")


def test_compare_hands_every_other_key_to_all_runs() -> None:
    words = "gtr rl4vlm --task ezpoints --guidance.stop_reward -1 --seeds 1 2 --train.updates=3 --out here --jobs 2"
    chosen = parse_compare(words.split())
    assert (list(chosen.configs), chosen.seeds, chosen.out, chosen.jobs) == (["gtr", "rl4vlm"], (1, 2), Path("here"), 2)
    assert chosen.settings == ("--guidance.stop_reward", "-1", "--train.updates=3")
    base = build("rl4vlm", "ezpoints", updates=3)
    assert chosen.configs["rl4vlm"] == changed(base, {"guidance.stop_reward": -1.0})


@pytest.mark.parametrize("methods", [("gtr", "grpo"), ("grpo", "gtr")])
def test_compare_tells_what_a_method_does_not_have(methods: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_compare([*methods, "--task", "ezpoints", "--algo.level", "turn"])
    assert "Unrecognized options: --algo.level, turn" in capsys.readouterr().err


# -- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("frain", "did you mean 'train'"),
        ("train", "write the preset first"),
        ("train --task ezpoints gtr", "write the preset first"),
        ("train gtrr", "did you mean 'gtr'"),
        ("train gtr --task point24", "did you mean 'points24'"),
        ("train gtr --train.minibatch 0", "train.minibatch is 0: give a whole number from 1 to 1000000"),
        ("train gtr --algo.gamma 2", "algo.gamma is 2.0: give a number from 0 to 1"),
        ("train --resume nowhere", "nowhere is not a run folder"),
        ("train gtr --task no.py:Such", "task file 'no.py' does not exist"),
        ("train gtr --task.name ezpoints", "choose the game by --task"),
        ("eval random --task.name ezpoints", "choose the game by --task"),
        ("train gtr --guidance.corrector oracel", "did you mean 'oracle'"),
        ("train gtr --guidance.corrector no.py:Such", "corrector file 'no.py' does not exist"),
        ("train gtr --guidance.corrector gtr.guidance.judge:Nobody", "has no 'Nobody': Known: OracleJudge"),
        ("eval random --split new-lok", "points24 has same, new-hands, new-look, new-rules"),
        ("eval random --split unseen", "points24 has same, new-hands, new-look, new-rules"),
        ("eval random --seed 99999999999999999999", "--seed 99999999999999999999: give a whole number from 0"),
        ("compare gtr --seeds 1 -1", "--seeds (1, -1)"),
        ("compare gtr --jobs 99999", "--jobs 99999"),
        ("play points24 --port 70000", "--port 70000: give a whole number from 0 to 65535"),
        ("show runs --turns -1", "--turns -1"),
        ("corrector-eval --thoughts 0", "--thoughts 0"),
        ("corrector-eval --who oracel", "--who oracel: did you mean 'oracle'"),
        ("corrector-eval --task.name ezpoints", "choose the game by --task"),
        ("play points24 --task.name ezpoints", "name the game first"),
        ("train gtr --config no.toml", "no.toml: there is no such file"),
        ("train gtr --config settings.ini", "the ending says how it is read"),
        ("train --config no.toml --resume no", "no is not a run folder"),
        ("train gtr --policy.model ./nowhere", "policy.model: './nowhere' is no folder here"),
        ("sft gtr --policy.model tiny-lava", "did you mean 'tiny-llava'"),
        ("compare gtr --policy.model nowhere", "policy.model: 'nowhere' is no folder here"),
        ("sft", "write the preset first: gtr sft"),
        ("eval nothing", "gtr eval: 'nothing' is no folder here and no hub id"),
        ("eval tests/tpyo", "gtr eval: there is no folder 'tests/tpyo'"),
        ("eval random tests/clj --split same", "did you mean 'tests/cli'"),
        ("train gtr --policy.model tests/tpyo", "policy.model: there is no folder 'tests/tpyo'"),
        ("corrector-eval --who local --corrector.model tests/tpyo", "corrector.model: there is no folder 'tests/tpyo'"),
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
        ("compare gtr --algo.clip 0", "algo.clip is 0.0: give a number from 1e-06 to 1000"),
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
        ("train gtr --algo.clpi 0.1", ["--algo.clpi", "--algo.clip"]),
        ("train gtr --train.minibach 4", ["--train.minibach", "--train.minibatch"]),
        ("train gtr --algo.clip much", ["--algo.clip", "much"]),
        ("train gtr --task.deck marble", ["--task.deck", "marble", "classic"]),
        ("train gtr --scale 8b", ["8b"]),
        ("compare gtr --algo.clpi 1", ["--algo.clpi", "--algo.clip"]),
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
        (["--resume", path, "--algo.clip", "0.3"], r"algo\.clip cannot change"),
        (["--resume", path, "--task", "ezpoints"], "leave out --task"),
        (["gtr", "--resume", path], "leave out 'gtr'"),
        (["--resume", path, "--train.updates", "0"], r"train\.updates is 0"),
    ]:
        with pytest.raises(ConfigError, match=message):
            parse_train(words)


EMPTY = [
    ["train", ""],
    ["sft", ""],
    ["play", ""],
    ["show", ""],
    ["compare", "gtr", ""],
    ["eval", ""],
    ["train", "gtr", "--task", ""],
    ["train", "gtr", "--task="],
    ["train", "gtr", "--task", " "],
    ["sft", "gtr", "--task", ""],
    ["eval", "random", "--task", ""],
    ["compare", "gtr", "--task", ""],
    ["train", "gtr", "--name", ""],
    ["train", "gtr", "--runs", ""],
    ["train", "gtr", "--config", ""],
    ["train", "--resume", ""],
    ["eval", "random", "--json", ""],
    ["compare", "gtr", "--out", ""],
    ["show", "runs", "--export", ""],
    ["play", "points24", "--pictures", ""],
    ["corrector-eval", "--who", "oracle", "--folder", ""],
    ["train", "gtr", "--policy.model", ""],
]


@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_an_empty_word_is_an_unset_variable_and_trains_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert "is empty (a variable that is not set?)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


FILES = (["eval", "random", "--json"], ["show", "runs", "--export"], ["corrector-eval", "--who", "oracle", "--json"])
FOLDERS = (
    ["train", "gtr", "--runs"],
    ["compare", "gtr", "--out"],
    ["eval", "random", "--out"],
    ["play", "points24", "--pictures"],
    ["corrector-eval", "--who", "oracle", "--folder"],
    ["compare", "--from", "runs", "--out"],
)


@pytest.mark.parametrize("words", [*FILES, *FOLDERS], ids=" ".join)
def test_places_that_output_cannot_go_to_are_told_before_the_work(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    wrong = ["x" * 5000, "y/" * 3000, "/proc/self/mem", "/proc/x", "/dev/null/x"]
    wrong += ["loop", "loop/x", "fifo", "file/x", "a\0b"]
    wrong += ["folder", ".", "no/such/folder/x"] if words in FILES else ["file", "/dev/null"]
    before = sorted(tmp_path.rglob("*"))
    for place in wrong:
        assert run([*words, place]) == 2, place
        text = capsys.readouterr().err
        assert text.startswith(f"Error: {words[-1]} "), (place, text)
        assert len(text) < 400
    assert sorted(tmp_path.rglob("*")) == before


READ = (
    *(["eval"], ["show"], ["train", "--resume"], ["train", "gtr", "--config"], ["train", "gtr", "--policy.model"]),
    *(["train", "gtr", "--task"], ["train", "gtr", "--algo"], ["train", "gtr", "--guidance.corrector"]),
    *(["compare", "--from"], ["sft", "gtr", "--policy.model"], ["play"], ["show", ".", "--task"]),
)


@pytest.mark.parametrize("words", READ, ids=" ".join)
def test_places_that_nothing_can_be_read_from_are_told(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    places = ("x" * 5000, "y/" * 3000, "/proc/self/mem", "/dev/zero", "loop", "loop/x", "fifo", "fifo/x", "/proc/x")
    for place in places:
        endings = ("", ".py:Game", ".toml", ".json") if words[-1] in ("--task", "--algo", "--config") else ("",)
        for ending in endings:
            assert run([*words, place + ending]) == 2, place + ending
            assert "Error: " in capsys.readouterr().err, place + ending


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://",
            "http:///v1",
            "http://x:port/v1",
            "http://x:99999/v1",
            "http://x:-1",
            "http://[::bad/v1",
            "ftp://x",
        ),
        *(
            "http://a b/v1",
            "http://l\U0008d06cocal/v1",
            "http://x/\n",
            "http://x/?a",
            "http://me:you@x/v1",
            "http://x:0",
        ),
    ],
)
def test_addresses_that_nobody_answers_at_are_told(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "gtr", "--corrector.base_url", address]) == 2
    assert "Error: corrector.base_url must read like http://localhost:8000/v1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["/dev/null", "../x", "a/b", "..", "x" * 300])
def test_a_runs_name_is_one_folder(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "gtr", "--name", name]) == 2
    assert "Error: name is" in capsys.readouterr().err


# -- files of settings --------------------------------------------------------------------------------------------

LAYERS = """
preset = "rl4vlm"

[task]
name = "ezpoints"
deck = "dark"

[train]
updates = 7
lr = 1e-4
"""


def test_flags_go_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(LAYERS)
    own = {"task.deck": "dark", "train.lr": 1e-4}
    base = changed(build("rl4vlm", "ezpoints", updates=7), own)
    assert parse_train(["--config", str(file)]).config == base
    over = parse_train(["gtr", "--config", str(file), "--train.lr", "2e-4", "--train.updates", "9"]).config
    assert over == changed(build("gtr", "ezpoints", updates=9), {**own, "train.lr": 2e-4})
    other = parse_train(["--config", str(file), "--task", "blackjack"]).config
    assert other == changed(build("rl4vlm", "blackjack", updates=7), own)
    chosen = parse_compare(["gtr", "annealed_cloning", "--config", str(file), "--seeds", "1", "--out", str(tmp_path)])
    assert chosen.task == "ezpoints"
    assert chosen.configs["annealed_cloning"] == changed(build("annealed_cloning", "ezpoints", updates=7), own)
    assert chosen.configs["annealed_cloning"].guidance.anneal_updates == 3


def test_a_runs_own_settings_can_be_handed_back(tmp_path: Path) -> None:
    path = new_run(tmp_path, method="no_dagger", task="alfworld")
    config = RunFolder.open(path, main=False).config
    assert parse_train(["--config", str(path / "config.json")]).config == config
    assert parse_train(["--config", str(path / "config.json"), "--seed", "5"]).config == replace(config, seed=5)


def test_code_of_ones_own_runs_only_where_the_user_names_it(tmp_path: Path) -> None:
    """A run folder, or a file of settings, may come from anybody."""
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('the code was run')\n")
    game, corrector = f"{trap}:Game", f"{trap}:Corrector"
    path = new_run(tmp_path, task=DOTS)
    file = path / "config.json"
    file.write_text(file.read_text().replace(DOTS, game))
    guided = new_run(tmp_path, "guided")
    (guided / "config.json").write_text((guided / "config.json").read_text().replace('"oracle"', f'"{corrector}"'))
    for words in (
        ["train", "--resume", str(path)],
        ["train", "--config", str(file)],
        ["train", "gtr", "--config", str(file)],
        ["sft", "--config", str(file)],
        ["eval", str(path)],
        ["eval", "random", str(path)],
        ["compare", "gtr", "--config", str(file)],
        ["train", "--resume", str(guided)],
        ["train", "--config", str(guided / "config.json")],
        ["compare", "gtr", "--config", str(guided / "config.json")],
    ):
        with pytest.raises(ConfigError, match=r"run only where you name it too: add --(task|guidance\.corrector) "):
            cli.COMMANDS[words[0]](words[1:])
    for words in (
        ["train", "--resume", str(path), "--task", game],
        ["eval", str(path), "--task", game],
        ["train", "--config", str(file), "--task", game],
        ["train", "--config", str(guided / "config.json"), "--guidance.corrector", corrector],
    ):
        with pytest.raises(SystemExit, match="the code was run"):
            cli.COMMANDS[words[0]](words[1:])


def test_a_run_of_ones_own_game_goes_on_and_is_evaluated_by_its_name(tmp_path: Path) -> None:
    path = new_run(tmp_path, task=DOTS)
    chosen = parse_train(["--resume", str(path), "--task", DOTS, "--train.updates", "40"])
    assert (chosen.config.task, chosen.config.train.updates) == (build("gtr", DOTS).task, 40)
    with pytest.raises(ConfigError, match=f"add --task {DOTS}"):
        parse_train(["--resume", str(path), "--task", f"./{DOTS}"])
    options, (config,) = parse_eval([str(path), "--task", DOTS])
    assert (options.task, config.task) == (DOTS, build("gtr", DOTS).task)


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
        *(
            (OSError(number, os.strerror(number), "runs/x/config.json"), 1, "look after the disk and its limits")
            for number in (errno.EIO, errno.EFBIG, errno.ESTALE, errno.ENODEV, errno.EMFILE, errno.ENFILE)
        ),
        (RuntimeError("I/O error: File too large (os error 27)"), 1, "look after the disk and its limits"),
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
    assert gtr("--version").stdout == f"gtr {__version__}\n"
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
        parse_train(["--help"])
    text = capsys.readouterr().out
    assert [key for key in settings_of(build("gtr")) if f"--{key} " not in text] == []
    assert all(method in text for method in METHODS)


def test_tasks_lists_the_games(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("numberline", "ezpoints", "points24", "blackjack", "file.py:Class"))


def test_the_help_of_sft_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["sft", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: gtr sft")
    assert "Make the agent that" in text
    assert "Train an agent" not in text
    assert "--resume" not in text


def test_doctor_finds_this_machine_fit_and_names_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from packaging.requirements import Requirement

    from gtr.cli import doctor

    assert run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "ok  torch" in text
    assert "Everything is ready" in text
    lost, old = doctor.package(Requirement("no-such-package>=1")), doctor.package(Requirement("numpy>=999"))
    mend = f"{sys.executable} -m pip install 'no-such-package>=1'"
    assert lost.line() == f"!!  no-such-package is missing\n      -> {mend}"
    assert not old.fine
    assert "but >=999 is needed" in old.text
    assert "ok  guided-thought[chat]: openai " in text
    wanted = Requirement("no-such-package>=1; extra == 'wandb'")
    monkeypatch.setattr(doctor, "declared", lambda: [wanted])
    assert doctor.extra("wandb").line() == (
        "ok  no guided-thought[wandb] (Weights & Biases as tracker); pip install 'guided-thought[wandb]' brings it"
    )
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert "gtr serve-engine MODEL --python ENV/bin/python" in doctor.engine().line()
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/vllm")
    assert "vllm is here" in doctor.engine().line()
    monkeypatch.setattr(doctor, "declared", list)
    assert not next(iter(doctor.packages())).fine
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "--runs" in doctor.writable(Path()).remedy


# -- before anything is trained -----------------------------------------------------------------------------------
def test_a_dry_run_says_what_would_be_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: 3 updates of 4 environments x 5 turns; 2 epochs of 20 turns in steps of 8 are 5 steps."""
    monkeypatch.chdir(tmp_path)
    small = "--train.updates 3 --train.envs 4 --train.turns 5 --train.minibatch 8 --seed 7"
    assert run(["train", "gtr", "--task", "numberline", "--dry-run", *small.split()]) == 0
    said = capsys.readouterr()
    assert "folder     runs/gtr-numberline-7" in said.err
    assert "3 of 20 turns: 60 turns" in said.err
    assert "2 epochs, at most 5 optimiser steps of 8 turns" in said.err
    assert list(tmp_path.iterdir()) == [], "nothing was made"
    (tmp_path / "my.json").write_text(said.out)
    again = parse_train(["--config", str(tmp_path / "my.json")]).config
    assert again == parse_train(["gtr", "--task", "numberline", *small.split()]).config
    assert run(["train", "gtr", "--dry-run", "--train.updates", "0"]) == 2, "mistakes are told as ever"


def test_log_levels(capsys: pytest.CaptureFixture[str]) -> None:
    before, handlers = logging.root.level, list(logging.root.handlers)
    try:
        assert run(["tasks", "--log-level", "debug"]) == 0
        assert logging.root.level == logging.DEBUG
        assert run(["--log-level=error", "tasks"]) == 0
        assert logging.root.level == logging.ERROR
        assert run(["tasks", "--log-level", "loud"]) == 2
        assert "--log-level loud: " in capsys.readouterr().err
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(before)


def test_bash_completes_commands_and_flags(tmp_path: Path) -> None:
    script = subprocess.run([sys.executable, "-m", "gtr", "completion", "bash"], capture_output=True, text=True)
    (tmp_path / "gtr.bash").write_text(script.stdout)
    ask = (
        f"source {tmp_path}/gtr.bash; COMP_WORDS=(gtr show --po); COMP_CWORD=2; $(complete -p gtr | cut -d' ' -f3) gtr "
        "--po show; echo ${COMPREPLY[@]}"
    )
    assert subprocess.run(["bash", "-c", ask], capture_output=True, text=True).stdout.strip() == "--port"
    assert run(["completion"]) == run(["completion", "cmd"]) == 2


def test_names_that_are_no_unicode_are_printed(tmp_path: Path) -> None:
    """In a terminal of UTF-8, where Python refuses them by itself."""
    folder = os.fsencode(tmp_path) + b"/odd \xff"
    command = [sys.executable, "-m", "gtr", "new", "task", "maze", "--folder", folder]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert b"odd \\udcff/maze.py" in done.stdout
