"""The documentation: its site is built, its commands are understood, its code compiles, what it names exists."""

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import pytest
import yaml

import gtr
from gtr import tasks
from gtr.cli import COMMANDS, run
from gtr.cli.argv import leading, split_options
from gtr.cli.check import parse_check
from gtr.cli.compare import FLAGS, parse_compare, parse_report
from gtr.cli.corrector_eval import parse_corrector_eval
from gtr.cli.eval import parse_eval
from gtr.cli.export import parse_export
from gtr.cli.plan import parse_plan
from gtr.cli.play import parse_play
from gtr.cli.push import parse_push
from gtr.cli.serve_engine import parse_serve
from gtr.cli.show import parse_show
from gtr.cli.train import DRY_RUN, parse_train
from gtr.config.io import settings_of
from gtr.config.presets import METHODS, build, preset
from gtr.errors import ConfigError
from gtr.report import RunFolder

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
INLINE = re.compile(r"`(gtr [^`]+)`")
SHELL = ("", "bash")
CALLED = re.compile(r"(?:^|[\s(])gtr (?=[a-z])(.+)")
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
TOLD = {
    "collapse": ("| gtr", "the alarm did not ring", "after rl4vlm"),
    "own_task": ("maze.py\\n  nothing wrong", "has one channel", "expert                   1.00"),
}
"""By notebook, a part of what its cells print."""
NO_SHELL = (">", "|", "&&", ";")


# -- commands ------------------------------------------------------------------------------------------------------
def lines_of(text: str) -> Iterator[str]:
    """Lines of shell blocks, continued ones joined, and what stands in the text as code."""
    blocks = [block for language, block in FENCED.findall(text) if language in SHELL]
    rest = FENCED.sub("", text)
    for block in [*blocks, *INDENTED.findall(rest)]:
        yield from block.replace("\\\n", " ").splitlines()
    yield from (" ".join(one.split()) for one in INLINE.findall(INDENTED.sub("", rest)))


def commands_of(text: str) -> Iterator[tuple[str, ...]]:
    """The words after ``gtr`` of every command; those with variables of a script are left out."""
    for line in lines_of(text):
        if (found := CALLED.search(line)) and "$" not in line:
            words = shlex.split(found[1], comments=True)
            end = next((at for at, word in enumerate(words) if word in NO_SHELL), len(words))
            yield tuple(words[:end])


COMMANDS_THERE = sorted({words for page in PAGES for words in commands_of(page.read_text())})
PARSERS: Mapping[str, Callable[[Sequence[str]], object]] = {
    "train": lambda words: parse_train([word for word in words if word != DRY_RUN]),
    "sft": lambda words: parse_train(words, "sft"),
    "plan": parse_plan,
    "eval": parse_eval,
    "compare": lambda words: parse_report(*split_options(words, FLAGS)) if "--from" in words else parse_compare(words),
    "play": parse_play,
    "show": parse_show,
    "export": parse_export,
    "push": parse_push,
    "corrector-eval": parse_corrector_eval,
    "serve-engine": parse_serve,
    "check": parse_check,
}
"""Commands without a row do so little that they are run."""
NAMED = {"RUN": "runs/gtr-points24-1", "MODEL": "owner/name", "MODEL_FOLDER": "owner/name", "GAME": "points24"}
NAMED["FOLDER"] = NAMED["RUN"]
METHOD_NAMES = cycle(["gtr", "rl4vlm"])
LEFT_OUT = {"train": ["gtr"], "compare": ["gtr", "rl4vlm"], "eval": ["random"]}
WHOLE = {"--from", "--resume", "--config", "--algo"}
"""With one of these a command needs no word before its flags."""
NEEDS = {"alfworld": "textworld", "wandb": "wandb", "examples/rendered.py:RoomTask": "minigrid"}


def filled(words: Sequence[str]) -> list[str]:
    """A command of the text with what its capitals and dots stand for."""
    name, *rest = words
    rest = [next(METHOD_NAMES) if one in ("NAME", "PRESET") else NAMED.get(one, one) for one in rest if one != "..."]
    begun = leading(rest) or WHOLE & set(rest)
    return [
        name,
        *([] if begun else LEFT_OUT.get(name, [])),
        *rest,
        *([NAMED["RUN"]] if rest[-1:] == ["--from"] else []),
    ]


def understood(words: Sequence[str]) -> None:
    """Raises what the command's own parser raises."""
    name, *rest = filled(words)
    if name not in COMMANDS:
        raise ConfigError(f"unknown command {name}")
    if len(words) == 1:
        return
    if name in PARSERS:
        try:
            PARSERS[name](rest)
        except SystemExit as end:
            if end.code or "--help" not in rest:
                raise
    elif run([name, *rest]):
        raise ConfigError(f"gtr {name} {rest} fails")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: runs, a task, a file of settings, the examples."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "examples").symlink_to(ROOT / "examples")
    assert run(["new", "task", "maze", "--folder", str(folder)]) == 0
    (settings,) = [block for name, block in FENCED.findall((ROOT / "docs/PYTHON.md").read_text()) if name == "toml"]
    for name in ("my.toml", "best.toml"):
        (folder / name).write_text(settings)
    texts = "\n".join(" ".join(words) for words in COMMANDS_THERE)
    for name, method, game in {*re.findall(r"\bruns/((\w+)-(\w+)-1)\b", texts)}:
        task = f"{folder}/maze.py:MazeTask" if game == "maze" else game
        with RunFolder.create(preset(method, task, runs=str(folder / "runs"), name=name)) as made:
            (made.path / "checkpoints").mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("words", COMMANDS_THERE, ids=" ".join)
def test_every_command_is_understood(words: tuple[str, ...], desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := [module for word, module in NEEDS.items() if word in words and find_spec(module) is None]:
        pytest.skip(f"needs {missing}")
    monkeypatch.chdir(desk)
    if words[:2] == ("new", "task"):
        words = (*words, "--folder", "another")
    understood(words)


def test_commands_are_found() -> None:
    assert len(COMMANDS_THERE) > 100
    assert {words[0] for words in COMMANDS_THERE} >= set(COMMANDS) - {"completion"}
    text = "Try `gtr eval RUN\nrandom`.\n\n    X=1 gtr train gtr \\\n      --seed 2 > my.json  # so\n\n"
    text += "```toml\ngtr x\n```\n"
    assert list(commands_of(text)) == [("train", "gtr", "--seed", "2"), ("eval", "RUN", "random")]


@pytest.mark.parametrize(
    "line",
    [
        *("trian gtr", "train gtr --train.no_such 1", "train gtr --train.lr=-1", "compare gtr --sead 1"),
        *("eval random --no-such", "export RUN --to x", "play nogame", "check no.py:Such", "tasks now"),
    ],
)
def test_what_is_no_command_is_noticed(line: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    with pytest.raises((gtr.errors.GtrError, SystemExit)):
        understood(line.split())


def test_every_setting_that_is_named_exists() -> None:
    """Also where a text names a flag outside a command."""
    known = {key for name in METHODS for key in settings_of(build(name))}
    known |= {key for name in tasks.TASKS for key in settings_of(build("gtr", name))} | {"algo.margin"}
    sections = {key.partition(".")[0] for key in known if "." in key}
    for page in PAGES:
        named = re.findall(r"(?:--|[`\"])([a-z]+\.[a-z_-]+)(?=[ `\"=])", page.read_text())
        keys = {one.replace("-", "_") for one in named if one.partition(".")[0] in sections}
        assert {key for key in keys - known if not key.endswith((".py", ".toml", ".json"))} == set(), page.name


# -- code ----------------------------------------------------------------------------------------------------------
def python_blocks() -> list[tuple[str, str]]:
    return [
        (page.name, block) for page in PAGES for name, block in FENCED.findall(page.read_text()) if name == "python"
    ]


@pytest.mark.parametrize(("page", "block"), python_blocks())
def test_code_compiles_and_imports_what_exists(page: str, block: str) -> None:
    """docs/PYTHON.md's blocks are run as well, in test_python.py."""
    for node in ast.walk(ast.parse(block, page)):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "gtr":
            module = importlib.import_module(str(node.module))
            assert [one.name for one in node.names if not hasattr(module, one.name)] == []
        elif isinstance(node, ast.Constant) and re.fullmatch(r"(train|sft|guidance|policy)\.\w+", str(node.value)):
            assert node.value in settings_of(build("gtr"))


def test_every_name_of_the_package_has_its_reference() -> None:
    page = (ROOT / "docs/API.md").read_text()
    shown = {one.rpartition(".")[2] for one in re.findall(r"^::: (\S+)$", page, flags=re.MULTILINE)}
    assert set(gtr.__all__) <= shown
    assert len(python_blocks()) >= 3


# -- the site ------------------------------------------------------------------------------------------------------
def test_links_lead_somewhere_also_where_pages_are_read_as_files() -> None:
    for page in PAGES:
        text = INLINE.sub("", FENCED.sub("", page.read_text()))
        inside = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?://|#", link)]
        assert [one for one in inside if not (page.parent / one.partition("#")[0]).exists()] == [], page.name


@pytest.mark.slow
def test_the_site_is_whole_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Strict: a page outside the menu, a link or an anchor that leads nowhere, a name without docstring is an error."""
    pytest.importorskip("mkdocstrings_handlers.python", reason="guided-thought[docs] is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {page.name: page.read_text() for page in tmp_path.glob("*.html")}
    assert {one.stem.replace("README", "index") for one in PAGES[1:]} <= {name.removesuffix(".html") for name in pages}
    for name, text in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?([^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]* rel=\"?stylesheet[^>]* href=\"?([^\s\">]+)", text)
        assert [one for one in loaded if one.startswith(("http", "//"))] == [], name
        # The theme's box of the repository asks GitHub for its stars.
        assert 'data-md-component="source"' not in text, name
    assert "A preset, over it the settings of a file" in pages["API.html"]
    assert "/blob/main/examples/dots.py" in pages["TASKS.html"]
    for notebook in NOTEBOOKS:
        assert "from gtr import" in re.sub(
            "<[^>]+>", "", (tmp_path / "notebooks" / f"{notebook.stem}.html").read_text()
        )


# -- notebooks -----------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda one: one.stem)
def test_notebooks_run(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real kernel, from the first cell to the last, on settings that are smaller still."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    opened = nbformat.read(notebook, as_version=4)
    (small,) = [cell for cell in opened.cells if "parameters" in cell.metadata.get("tags", [])]
    settings = {key.removeprefix("--"): int(value) for key, value in SMALL.items()}
    settings |= {"train.updates": 2, "train.envs": 8}
    small.source = f"TASK, UPDATES, SMALL = 'ezpoints', 2, {settings}"
    nbclient.NotebookClient(opened, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    told = json.dumps([cell.outputs for cell in opened.cells if cell.cell_type == "code"])
    assert told.count("image/png") == (2 if notebook.stem == "collapse" else 1)
    for words in TOLD[notebook.stem]:
        assert words in told


SMALL = {
    **{"--train.updates": "1", "--train.envs": "4", "--train.turns": "4", "--train.minibatch": "8"},
    **{"--train.eval_episodes": "4", "--sft.max_steps": "20", "--sft.check_episodes": "8"},
}
SMALLER: Mapping[str, Mapping[str, str]] = {
    **{"train": SMALL, "compare": SMALL, "eval": {"--episodes": "4"}},
    **{"corrector-eval": {"--thoughts": "8"}, "show": {"--export": "page.html"}},
}


@pytest.mark.slow
def test_the_tutorials_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as they stand there, but for a budget; what a person plays is left out."""
    monkeypatch.chdir(tmp_path)
    blocks = "\n".join(f"```\n{block}```" for _, block in FENCED.findall((ROOT / "docs/TUTORIAL.md").read_text()))
    ran = []
    for name, *rest in commands_of(blocks):
        if name != "play":
            words = [one for one in rest if one not in ("2", "3")]
            budget = {} if "--from" in words else SMALLER.get(name, {})
            more = [one for pair in budget.items() if pair[0] not in words for one in pair]
            assert run([name, *words, *more]) == 0, (name, words)
            ran.append(name)
    assert ran[:3] == ["train", "show", "train"]
    assert {"check", "eval", "new", "corrector-eval"} <= set(ran)


# -- beside the pages ----------------------------------------------------------------------------------------------
def test_the_papers_that_algorithms_name_are_cited() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "references"} <= set(cited)
    for one in cited["references"]:
        (paper,) = re.findall(r"[0-9]{4}\.[0-9]{4,5}", one["url"])
        assert one["authors"] == [{"name": f"The authors of arXiv {paper}"}]
        assert one["year"] == 2000 + int(paper[:2])
    papers = {re.findall(r"[0-9]{4}\.[0-9]{4,5}", one["url"])[0] for one in cited["references"]}
    named = set()
    for file in (ROOT / "gtr/algo").glob("*.py"):
        named |= set(re.findall(r"arXiv ([0-9.]{10})", ast.get_docstring(ast.parse(file.read_text())) or ""))
    assert len(named) > 10
    assert named - papers == set()


def test_what_the_dockerfile_makes_can_be_made() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^FROM \S+ AS (\w+)$", text, flags=re.MULTILINE) == ["source", "cpu", "cuda"]
    made = re.findall(r"^RUN (make .*)$", text, flags=re.MULTILINE)
    assert len(made) == 2
    for line in made:
        command = line.replace("make ", "make -n ", 1).replace("$PIP_ARGS", "")
        done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "pins.py chat,hub,show,vllm" in done.stdout


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_forms_for_issues_ask_for_something(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert form["name"]
    assert form["description"]
    asked = [one["id"] for one in form["body"]]
    assert len(set(asked)) == len(asked) > 1
    assert any(one.get("validations", {}).get("required") for one in form["body"])
