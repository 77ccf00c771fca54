"""The house rules that a machine can check: one-way imports, light rooms, documented settings, plain words."""

import ast
import contextlib
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import get_type_hints

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gtr
from gtr import tasks
from gtr.cli.train import parse_train
from gtr.config import Config, presets
from gtr.config.io import settings_of
from gtr.errors import GtrError

ROOT = Path(__file__).parents[1]
PACKAGE = Path(gtr.__file__).parent

ORDER = (
    "__init__",
    "errors",
    "contract",
    "imports",
    "config",
    "types",
    "stats",
    "aggregates",
    "report.inside",
    "report.files",
    "tasks",
    "policy",
    "guidance",
    "losses",
    "engine",
    "algo",
    "config.io",
    "config.files",
    "config.checks",
    "config.scales",
    "config.presets",
    "engine.correction",
    "envs",
    "rollout",
    "ahead",
    "learner",
    "agents",
    "metrics",
    "relevance",
    "processes",
    "plan",
    "report",
    "checkpoint",
    "evaluate",
    "corrector_eval",
    "check",
    "sft",
    "export",
    "train",
    "show",
    "compare",
    "play",
    "cli",
    "__main__",
)
"""The rooms: each may import those before it, and itself. A file named with its folder is a room of its own."""

LIGHT = (
    *("errors", "contract", "imports", "config", "config.io", "config.files", "config.checks", "config.scales"),
    *(
        "config.presets",
        "types",
        "stats",
        "aggregates",
        "tasks",
        "guidance",
        "algo",
        "engine",
        "envs",
        "rollout",
        "ahead",
    ),
    *("show", "compare", "play", "cli"),
)
"""Rooms that must not bring torch along."""

HEAVY = ("torch", "transformers", "peft", "accelerate")


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """``gtr.tasks.points`` -> ``tasks``; ``gtr.report.files`` -> itself; ``gtr`` -> ``__init__``."""
    inner = module.removeprefix("gtr.")
    room = ".".join(inner.split(".")[:2])
    if room in ORDER:
        return room
    return inner.split(".")[0] if module != "gtr" else "__init__"


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> Iterator[str]:
    """Every gtr module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "gtr")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gtr":
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if is_module(inner) else node.module


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def test_every_room_has_its_place() -> None:
    assert sorted({room_of(module_of(file)) for file in files()}) == sorted(ORDER)


# The package's own file is the door to all rooms: it imports them when they are asked for.
@pytest.mark.parametrize(
    "file", [one for one in files() if one != PACKAGE / "__init__.py"], ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_imports_go_one_way(file: Path) -> None:
    here = ORDER.index(room_of(module_of(file)))
    upward = [name for name in imported(file) if ORDER.index(room_of(name)) > here]
    assert not upward, f"{file.name} is in room {ORDER[here]!r}, which comes before those of {upward}"


def test_the_check_of_imports_sees_imports(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("def f():\n    from gtr import tasks\n    import gtr.train\n    from gtr.report import RunFolder\n")
    assert list(imported(file)) == ["gtr.tasks", "gtr.train", "gtr.report"]


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_import_no_torch(room: str) -> None:
    code = f"import sys, gtr.{room}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_itself_brings_nothing_along() -> None:
    heavy = (*HEAVY, "numpy", "pydantic", "tyro")
    code = f"import sys, gtr; dir(gtr); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_built_in_tasks_load_without_torch() -> None:
    code = (
        "import sys; from gtr import tasks\n"
        "for name, row in tasks.TASKS.items():\n"
        "    task = tasks.load(tasks.settings(name)); row.extra or task.make_env().reset(seed=0)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def names_of_games(file: Path) -> list[str]:
    """Where a file names a game in code or in a text that is no docstring."""
    tree = ast.parse(file.read_text())
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            texts = [node.value]
        elif isinstance(node, ast.Name | ast.Attribute | ast.FunctionDef | ast.ClassDef | ast.arg):
            texts = [str(value) for key, value in vars(node).items() if key in ("id", "attr", "name", "arg")]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            texts = [str(vars(node).get("module")), *(alias.name for alias in node.names)]
        else:
            continue
        words = {word.lower() for text in texts for word in re.findall(r"[A-Za-z0-9]+", text)}
        found += [f"{file.name}:{node.lineno}: {name}" for name in tasks.TASKS if name in words]  # type: ignore[attr-defined]
    return sorted(found)


@pytest.mark.parametrize(
    "file", [one for one in files() if "tasks" not in one.relative_to(PACKAGE).parts[:1]], ids=lambda file: file.name
)
def test_no_file_outside_the_tasks_names_a_game(file: Path) -> None:
    # What the metrics say was seen on a game.
    descriptive = {"table.py", "agent_rows.py"} if file.parent.name == "metrics" else set()
    assert file.name in descriptive or names_of_games(file) == []


def test_the_check_of_names_sees_them(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text('"""On points24."""\nif game == "ezpoints":\n    from gtr.tasks.alfworld import package\n')
    assert names_of_games(file) == ["some.py:2: ezpoints", "some.py:3: alfworld"]


def documented(kind: type) -> set[str]:
    """The fields of a dataclass, of its own and inherited, that a docstring follows."""
    found: set[str] = set()
    for one in kind.__mro__[:-1]:
        (body,) = [node.body for node in ast.parse(inspect.getsource(one)).body if isinstance(node, ast.ClassDef)]
        found |= {
            field.target.id
            for field, after in pairwise(body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        }
    return found


def test_every_setting_says_what_it_is() -> None:
    sections = [Config, *(kind for kind in get_type_hints(Config).values() if is_dataclass(kind))]
    for section in [*sections, *(tasks.find(name).Settings for name in tasks.TASKS)]:
        assert isinstance(section, type)
        leaves = {one.name for one in fields(section) if not is_dataclass(get_type_hints(section)[one.name])}
        assert leaves - documented(section) == set(), section.__name__
        assert section.__doc__


@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_help_shows_what_a_setting_is(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_train(["gtr", "--task", task, "--help"])
    text = capsys.readouterr().out
    words = " ".join(re.sub(r"[│╭╰─╮╯]", " ", text).split())
    assert "Side of the square picture in pixels." in words
    assert ("Number of distinct hands in play, the difficulty knob" in words) == (task in ("ezpoints", "points24"))
    assert [key for key in settings_of(presets.build("gtr", task)) if f"--{key} " not in words] == []


def errors_raised() -> set[str]:
    found = set()
    for file in files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                found.add(node.exc.func.id)
    return found


def test_every_users_error_is_raised_somewhere() -> None:
    names = {kind.__name__ for kind in GtrError.__subclasses__()}
    known = {"ConfigError", "TaskError", "PolicyError", "RunError", "EngineError", "DivergenceError"}
    assert known <= names & errors_raised()


def test_no_error_is_swallowed_unseen() -> None:
    """No bare except, and no broad one that does nothing."""
    for file in files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{file}:{node.lineno}: bare except"
                broad = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                idle = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
                assert not (broad and idle), f"{file}:{node.lineno}: an error disappears"


def test_no_code_is_evaluated_from_text() -> None:
    for file in files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{file}:{node.lineno}"


FORBIDDEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|/work/|/root/|/tmp/")
"""Unfinished business, and paths of somebody's machine."""


def texts() -> list[Path]:
    folders = ("gtr", "docs", "examples", "benchmarks")
    found = [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".md")]
    return found + [path for path in ROOT.glob("*") if path.suffix in (".md", ".toml", ".txt", ".cff")]


def test_the_project_speaks_of_itself_alone() -> None:
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            assert not FORBIDDEN.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_files_stay_readable() -> None:
    lengths = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file in files()}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}
    pages = [file for file in PACKAGE.rglob("*") if file.suffix in (".js", ".css", ".html")]
    assert len(pages) > 10
    assert {file.name for file in pages if len(file.read_text().splitlines()) > 300} == set()


def test_street_fits_on_one_screen() -> None:
    """The loop body that a newcomer reads first."""
    tree = ast.parse((PACKAGE / "train.py").read_text())
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in ("step", "_loop")]
    sizes = {one.name: len(one.body) for one in loops}
    assert sizes["step"] <= 8, "a docstring, the random numbers, and the four lines of the street"
    assert all((one.end_lineno or 0) - one.lineno <= 30 for one in loops)


def test_the_readme_tree_names_every_room() -> None:
    readme = (ROOT / "README.md").read_text()
    quiet = {"__init__", "__main__", "report.inside", "report.files"}
    quiet |= {room for room in ORDER if room.startswith(("config.", "engine."))}
    missing = [room for room in ORDER if room not in quiet and not re.search(rf"\b{room}\b", readme)]
    assert not missing


def pins(extras: str) -> dict[str, list[str]]:
    """What ``pins.py`` prints: packages with the hashes of their files."""
    command = [sys.executable, str(ROOT / "pins.py"), extras]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    entries = re.split(r"^(?=[a-z0-9])", printed, flags=re.MULTILINE)[1:]
    return {one.split("==")[0]: re.findall(r"--hash=sha256:([0-9a-f]{64})", one) for one in entries}


EVERY = "alfworld,chat,dev,docs,show,wandb"


def pinned() -> dict[str, list[str]]:
    return pins(EVERY)


def test_pins_cover_what_the_package_needs() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    wanted = re.findall(r'^\s+"([a-z0-9-]+)(?:\[\w+\])?[>=]=', project, flags=re.MULTILINE)
    wanted += [line for line in (ROOT / "constraints.in").read_text().splitlines() if not line.startswith("#")]
    assert len(wanted) > 30
    # Which wheel of torch it is depends on the machine; trackio and the pins exclude each other.
    assert {name for name in wanted if name not in pinned()} == {"torch"}
    assert re.search(r"^TORCH := torch==[0-9.]+$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("extras", ["", "show", "chat,dev,show", EVERY])
def test_what_is_installed_needs_nothing_else(extras: str) -> None:
    """By what the installed packages say of themselves, here and now."""
    found, here = pins(extras), default_environment()
    for name in found:
        with contextlib.suppress(metadata.PackageNotFoundError):
            for line in metadata.requires(name) or []:
                wanted = Requirement(line)
                if wanted.marker is None or wanted.marker.evaluate({**here, "extra": ""}):
                    assert canonicalize_name(wanted.name) in {*found, "torch"}, f"{name} needs {line}"
    assert len(found) > 40


def test_every_pin_has_the_hashes_of_its_files() -> None:
    assert [name for name, hashes in pinned().items() if not hashes] == []
    assert not [name for name in pinned() if name.startswith(("torch", "nvidia", "cuda", "triton"))]


def test_what_builds_is_what_is_pinned() -> None:
    project, pins = ((ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt"))
    needs = tomllib.loads(project)["build-system"]["requires"]
    assert [one for one in needs if not re.search(rf"^{re.escape(one)} ", pins, re.MULTILINE)] == []
