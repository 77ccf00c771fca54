"""The package as it is built: its name, version, links and what it tells people to install."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import gtr
from gtr.errors import DISTRIBUTION, to_install

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def texts() -> list[Path]:
    """Everything that a user may read a command in."""
    found = [path for name in ("gtr", "docs", "examples", "benchmarks") for path in (ROOT / name).rglob("*")]
    return [path for path in [*found, *ROOT.glob("*.md")] if path.suffix in (".py", ".md", ".js", ".html")]


def test_no_command_installs_a_strangers_package() -> None:
    """``gtr`` is another project's name where packages come from."""
    strangers = re.compile(r"pip3? install[^\n]*(?<![\w./-])gtr(?![\w./-])|['\"`]gtr\[")
    wrong = [str(path) for path in texts() if path.suffix != ".pyc" and strangers.search(path.read_text())]
    assert wrong == []
    assert strangers.search("pip install 'gtr[show]'")
    assert strangers.search("pip install -q gtr")
    assert not strangers.search("pip install 'guided-thought[show]'")


def test_every_part_that_is_named_exists() -> None:
    extras = set(PROJECT["optional-dependencies"])
    for path in texts():
        text = path.read_text()
        assert set(re.findall(r"guided-thought\[([a-z,]+)\]", text)) <= {*extras, "dev,show"}, path
        assert set(re.findall(r"to_install\(['\"](\w+)['\"]\)", text)) <= extras, path
    assert PROJECT["name"] == DISTRIBUTION
    assert to_install("show") == "pip install 'guided-thought[show]'"


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


def test_the_readmes_links_lead_somewhere() -> None:
    inside = [link for link in links((ROOT / "README.md").read_text()) if not link.startswith("https://")]
    assert len(inside) > 10
    assert [link for link in inside if not (ROOT / link.partition("#")[0]).exists()] == []


@pytest.mark.slow
def test_the_wheel_says_who_it_is_and_where_it_lives(tmp_path: Path) -> None:
    """Built by pip from this checkout, as anybody would; needs the index that build tools come from."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and ("No matching distribution" in done.stderr or "Temporary failure" in done.stderr):
        pytest.skip("the build tools cannot be fetched here")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as held:
        (name,) = [one for one in held.namelist() if one.endswith(".dist-info/METADATA")]
        about = Parser().parsestr(held.read(name).decode())
        assert any(one.endswith("gtr/show/page/main.js") for one in held.namelist())
    assert about["Name"] == DISTRIBUTION
    assert re.match(r"\d+\.\d+", about["Version"])
    urls = dict(value.split(", ") for value in about.get_all("Project-URL", []))
    assert {"Repository", "Documentation", "Changelog", "Issues"} <= set(urls)
    found = links(about.get_payload())
    assert len(found) > 10
    assert [link for link in found if not link.startswith("https://")] == []
    own = [link for link in found if "guided-thought/gtr" in link]
    assert [link for link in own if link.endswith((".png", ".svg")) != ("raw.githubusercontent" in link)] == []
    for link in own:
        assert (ROOT / link.partition("/main/")[2]).exists(), link


def test_the_version_is_the_installed_ones() -> None:
    assert gtr.__version__
    done = subprocess.run([sys.executable, "-m", "gtr", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"gtr {gtr.__version__}\n"


def test_all_files_name_one_repository() -> None:
    """That of pyproject.toml, wherever a file of the project links to itself."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    home = about["urls"]["Repository"]
    host, owner, name = home.removeprefix("https://").split("/")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = [ROOT / one for one in listed if one.endswith((".md", ".toml", ".yml", ".cff", ".ipynb"))]
    own = re.compile(rf"https://(?:{re.escape(host)}|raw\.githubusercontent\.com)/([\w.-]+)/{name}\b")
    found = {(one.name, owned) for one in texts for owned in own.findall(one.read_text())}
    assert {owned for _, owned in found} == {owner}
    assert {"pyproject.toml", "mkdocs.yml"} <= {file for file, _ in found}
