"""gtr from Python: what docs/PYTHON.md shows runs as it stands, and the package's own names are what they say."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gtr
from gtr.config.files import read_file
from gtr.config.presets import preset
from gtr.errors import ConfigError, TaskError

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "PYTHON.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
SMALL = '"sft.max_steps": 20, "sft.check_episodes": 8, "train.envs": 4, "train.turns": 4, "train.minibatch": 8, '


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_documents_examples_run(number: int, tmp_path: Path) -> None:
    """As a notebook user copies them, but for a budget that is smaller still."""
    text, changes = re.subn(r'\{"train.updates"', "{" + SMALL + '"train.updates"', EXAMPLES[number])
    assert changes == 1
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("won 0." if number == 0 else "| gtr† |") in done.stdout


def test_the_documents_file_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    (tmp_path / "my.toml").write_text(text)
    config = preset(file=tmp_path / "my.toml")
    assert (config.task.name, config.train.lr, config.seed) == ("points24", 2e-4, 2)
    assert read_file(tmp_path / "my.toml")["task"]["hands"] == 24


@pytest.mark.parametrize("first", ["import gtr.train", "import gtr.evaluate, gtr.compare", "pass"])
def test_functions_can_be_called_whoever_imported_their_modules_first(first: str) -> None:
    code = (
        f"{first}\nimport gtr\nfrom gtr import compare, evaluate, train\nimport gtr.train as module\n"
        "assert callable(train) and callable(evaluate) and callable(compare) and gtr.train is train\n"
        "assert module.train is gtr.train.train\n"
        "try: evaluate('expert', gtr.preset('gtr', 'numberline'), 'no-such-split')\n"
        "except gtr.errors.ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "numberline has same, new-look" in done.stdout


def test_all_names_are_there_and_no_others() -> None:
    for name in gtr.__all__:
        assert callable(getattr(gtr, name))
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = gtr.trian
    assert importlib.import_module("gtr.config").Config is gtr.Config


def test_a_comparison_names_its_mistakes_before_it_begins(tmp_path: Path) -> None:
    from gtr.compare import compare

    for methods, settings, words in [
        ((), {}, "methods"),
        (("gtrr",), {}, "did you mean 'gtr'"),
        (("gtr",), {"train.lr": -1.0}, "train.lr is -1.0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            compare(*methods, out=tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_run_of_somebodys_own_game_is_evaluated_only_by_its_name(tmp_path: Path) -> None:
    from gtr.evaluate import evaluate
    from gtr.report import RunFolder

    trap = tmp_path / "trap.py"
    trap.write_text("1 / 0\n")
    game = f"{ROOT}/examples/dots.py:DotsTask"
    with RunFolder.create(preset("gtr", game, runs=str(tmp_path), name="run")) as folder:
        path = folder.path
    file = path / "config.json"
    file.write_text(file.read_text().replace(game, f"{trap}:Game"))
    with pytest.raises(ConfigError, match="run only where you name it too"):
        evaluate(str(path))
    with pytest.raises(ConfigError, match="run only where you name it too"):
        preset(file=file)
    with pytest.raises(TaskError, match="fails when imported: ZeroDivisionError"):
        preset(file=file, task=f"{trap}:Game")
