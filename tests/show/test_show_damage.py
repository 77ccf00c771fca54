"""Every file of a run folder, spoilt in every way: whoever reads it goes on, and says what is wrong."""

import base64
import gzip
import json
import re
import resource
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from foreign import DAMAGES, files_of
from show_cases import write_run

from gtr.compare.comparability import doubts
from gtr.compare.from_runs import read_existing
from gtr.compare.samples import markdown as samples
from gtr.compare.study import shown, study_of
from gtr.errors import GtrError
from gtr.metrics.renamed import RENAMED
from gtr.report import Run, RunFolder
from gtr.report.files import encode
from gtr.report.found import find_runs
from gtr.report.history import MOST_VALUES, read_history
from gtr.report.read import MOST_LINES
from gtr.show import page
from gtr.show.episodes import parts
from gtr.show.export import export
from gtr.show.source import Source

FORM = re.compile(r"[\w./-]+(, line \d+)?: .+; .+", re.DOTALL)
"""FILE, line N: what is wrong; what that means."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with a file of every kind."""
    run = write_run(tmp_path_factory.mktemp("whole"))
    with RunFolder.open(run) as folder:
        folder.write_fingerprint(device="cpu")
    return run


def ask_everything(run: Path) -> list[str]:
    """All that the page may ask; returns the problems that it is told."""
    (found,) = find_runs([run])
    source = Source([found], patience=float("inf"))
    overview = source.overview()
    answers: list[Any] = [overview, source.version()]
    for part in (parts := source.parts(0, -1))["parts"]:
        columns = part["columns"]
        for env, episode in list(zip(columns["env"], columns["episode"], strict=True))[:3]:
            answers.append(source.turns(0, part["update"], env, episode))
    for one in overview["runs"][0]["panel"]:
        episodes = source.panel(0, one["update"])
        answers += [episodes, *(source.play(0, one["update"], each["episode"]) for each in episodes[:3])]
    answers += [source.probe(0, update) for update in overview["runs"][0]["probed"]]
    json.loads(encode([*answers, parts]), parse_constant=pytest.fail)
    return found.problems


def compare(run: Path) -> list[str]:
    """A comparison of the run alone, all texts of it written out; returns what it doubts."""
    results = read_existing([run])
    study = study_of(results, "t", ["gtr"])
    encode(shown(study))
    samples(study.states).encode()
    return doubts(results)


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damage_stops_who_reads(whole: Path, tmp_path: Path, damage: str, pages: Callable[[Path], str]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = 0
    for number, file in enumerate(files_of(whole)):
        run = Path(shutil.copytree(whole, tmp_path / str(number)))
        DAMAGES[damage](run / file.relative_to(whole))
        problems = ask_everything(run)
        assert [one for one in problems if not FORM.fullmatch(one)] == []
        told += bool(problems)
        pages(run)
        assert refusal(partial(compare, run)) is None or file.name == "config.json"
        assert str(run) in str(refusal(partial(open_and_close, run)) or run)
        shutil.rmtree(run)
    assert told > 0 or damage in HARMLESS, "something must have been said"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "kilobytes"


def open_and_close(run: Path) -> None:
    RunFolder.open(run).close()


def refusal(do: Callable[[], Any]) -> GtrError | None:
    """The words in which something is refused, if it is."""
    try:
        do()
    except GtrError as error:
        return error
    return None


HARMLESS = {"all but one", "rather deep"}
"""A line without its end is one still being written."""


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """Exports a run as one page, without the chart library, which takes time to pack."""
    monkeypatch.setattr(page, "chart_library", lambda: "")

    def make(run: Path) -> str:
        export(find_runs([run]), tmp_path / "page.html", 50)
        return (tmp_path / "page.html").read_text()

    return make


def data_of(page: str) -> str:
    packed = re.search(r'id="packed-data">([^<]*)<', page)
    assert packed is not None
    return gzip.decompress(base64.b64decode(packed[1])).decode()


# -- nothing outside the folder ---------------------------------------------------------------------------------------
SECRET = "c2VjcmV0IHdvcmRz"


@pytest.mark.parametrize("way", ["name", "up", "link", "folder", "run"])
def test_nothing_outside_the_folder_is_read(
    whole: Path, tmp_path: Path, way: str, pages: Callable[[Path], str]
) -> None:
    picture = sorted((whole / "images").iterdir())[0].read_bytes()
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / f"{'0' * 20}.png"
    secret.write_bytes(picture + SECRET.encode())
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    names = {"name": str(secret), "up": f"../../outside/{secret.name}", "link": secret.name, "folder": secret.name}
    for file in (*(run / "turns").iterdir(), *(run / "evaluations").glob("*.gz")):
        lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        lines = [{**line, "image": names.get(way, line["image"])} for line in lines]
        file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))
    if way == "link":
        (run / "images" / secret.name).symlink_to(secret)
    if way == "folder":
        shutil.rmtree(run / "images")
        (run / "images").symlink_to(outside)
    if way == "run":
        (tmp_path / "many").mkdir()
        (tmp_path / "many" / "own").symlink_to(run)
        with pytest.raises(GtrError, match="holds none"):
            find_runs([tmp_path / "many"])
        return
    (found,) = find_runs([run])
    assert found.picture(secret.name) is None
    assert found.picture(str(secret)) is None
    text = data_of(pages(run))
    assert SECRET not in text
    assert base64.b64encode(picture)[:200].decode() not in text
    assert str(outside) not in text
    (state, *_) = study_of(read_existing([run]), "t", []).states
    assert (state.image, state.picture) == ("", b"")


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", "fingerprint.json", "turns", "evaluations", "probes"])
def test_a_link_is_never_followed(whole: Path, tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    read = Run(run)
    found = {
        "metrics.jsonl": read.metrics(),
        "config.json": read.config,
        "fingerprint.json": read.starts(),
        "turns": read.updates_with_turns(),
        "evaluations": read.evaluated_updates(),
        "probes": read.probed_updates(),
    }
    assert not found.pop(name)
    assert all(found.values())
    if "." in name:
        assert any(problem.startswith(f"{name}: is a link") for problem in read.problems)
    with pytest.raises(GtrError, match=r"is a link"):
        RunFolder.open(run)


def test_a_folder_may_be_named_through_a_link(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(whole)
    (found,) = find_runs([tmp_path / "link"])
    assert len(found.metrics()) == 3


@pytest.mark.parametrize("update", [0, 1, 3])
def test_a_hostile_name_of_a_metric_or_task_is_text(whole: Path, tmp_path: Path, update: int) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    config = json.loads((run / "config.json").read_text())
    config["preset"], config["task"]["name"] = "[/bold]{x}\x1b[31m|=1+1\n", "\u202e</script><script>"
    (run / "config.json").write_text(json.dumps(config))
    line = {"update": update, "</script>": 1, "\ud800": 2, "__proto__": 3}
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    ask_everything(run)
    compare(run)


def test_what_is_endless_is_cut_and_said(whole: Path, tmp_path: Path) -> None:
    """Millions of tiny lines, and curves of which none is measured twice."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "metrics.jsonl").write_bytes(b'{"update":1}\n' * 2_000_000)
    (run / "turns" / "update_00001.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 2_000_000))
    read = Run(run)
    assert [line["update"] for line in read.metrics()] == [1]
    assert len(read.turns(1)) == MOST_LINES
    assert all("twice" in one or "more than 100,000 lines" in one for one in read.problems)
    lines = [json.dumps({"update": i, **{f"{i}/{j}": 0.5 for j in range(10)}}) + "\n" for i in range(5_000)]
    (run / "metrics.jsonl").write_text("".join(lines))
    history = read_history(Run(run))
    assert sum(map(len, history.series.values())) <= MOST_VALUES


def test_old_names_of_metrics_are_read_by_their_new_ones(tmp_path: Path, whole: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    new = list(RENAMED.values())
    old = {"update": 1, **dict.fromkeys(RENAMED, 0.25), **{f"panel/{name}": 0.5 for name in RENAMED}}
    both = {"update": 2, **dict.fromkeys(new, 1.0), **dict.fromkeys(RENAMED, 2.0)}
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (old, both)))
    first, second = Run(run).metrics()
    assert first == {"update": 1, **dict.fromkeys(new, 0.25), **{f"panel/{name}": 0.5 for name in new}}
    assert second == {"update": 2, **dict.fromkeys(new, 1.0)}, "where both are there, the new one counts"
    assert {*new} <= {*Source([Run(run)]).overview()["runs"][0]["series"]}
    record = json.loads((run / "evaluations" / "update_00000.json").read_text())
    record["health"] = dict.fromkeys(RENAMED, 0.75)
    (run / "evaluations" / "update_00000.json").write_text(json.dumps(record))
    assert Run(run).evaluation(0)["health"] == dict.fromkeys(RENAMED.values(), 0.75)


def test_old_judgements_are_read_by_their_new_names(tmp_path: Path, whole: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    file = run / "turns" / "update_00001.jsonl.gz"
    text = gzip.decompress(file.read_bytes()).decode()
    now = parts(Run(run).turns(1))
    assert sum(now["corrected"]) > 0
    for old, new in (("right", "correct"), ("wrong", "incorrect"), ("hopeless", "unsolvable")):
        text = text.replace(f'"judgement": "{new}"', f'"judgement": "{old}"')
    assert '"judgement": "wrong"' in text
    file.write_bytes(gzip.compress(text.encode()))
    assert parts(Run(run).turns(1)) == now
    file.write_bytes(gzip.compress(text.replace('"wrong"', '"</b>"').encode()))
    assert sum(parts(Run(run).turns(1))["corrected"]) == 0, "what no version wrote counts as judged, not as corrected"


@pytest.mark.parametrize("outcomes", [[True], [True, False, None, 1], [False, True, True], "yes", [None, True, True]])
def test_outcomes_that_do_not_fit_the_counts_are_not_believed(outcomes: Any, tmp_path: Path, whole: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    file = run / "evaluations" / "update_00000.json"
    record = json.loads(file.read_text()) | {"successes": 1, "episodes": 3, "success": 1 / 3}
    file.write_text(json.dumps({**record, "outcomes": [False, True, None, False]}))
    assert Run(run).evaluation(0)["outcomes"] == [False, True, None, False]
    file.write_text(json.dumps({**record, "outcomes": outcomes}))
    read = Run(run)
    assert read.evaluation(0) == {}
    assert read.problems == ["evaluations/update_00000.json: has no usable outcomes; this evaluation is left out"]
