"""Reports made from run folders alone: what counts, what is said, and that no reply breaks out of them."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gtr import tasks
from gtr.cli import run
from gtr.compare import report, study_of, write
from gtr.compare.comparability import doubts
from gtr.compare.figures import LAYOUTS, MARKERS, STYLES, figure, rendered
from gtr.compare.formats import cells, latex, markdown
from gtr.compare.from_runs import read_existing
from gtr.compare.results import RunResult
from gtr.compare.runner import State
from gtr.compare.study import shown
from gtr.compare.table import HEALTH, Row, rows_of
from gtr.config import ReportConfig
from gtr.config.presets import METHODS as PRESETS
from gtr.config.presets import build
from gtr.errors import RunError
from gtr.report import RunFolder
from gtr.report.history import Collapse
from gtr.report.text import visible
from gtr.show.study import read_study
from gtr.stats import Interval
from gtr.tasks.reply import parse
from gtr.types import Ending, Prompt, Reply, Turn

UPDATES = 3
HOSTILE = (
    '{"cards": [3, 9], "formula": "</code><script>document.title=1</script>", "thoughts": "\x1b[2J \u202egnp.exe | '
    '<img src=x onerror=alert(1)> `x` \u2066 next 3", "action": "3"}'
)
START = {"cards": ["H3", "S9"]}


def new_run(
    folder: Path, method: str, seed: int, wins: int = 10, reply: str = HOSTILE, updates: int = UPDATES, **rooms: Any
) -> Path:
    """A run folder as training leaves it, without the training."""
    config = build(method, "ezpoints")
    train = replace(config.train, updates=UPDATES, envs=4, turns=4)
    config = replace(config, train=train, seed=seed, runs=str(folder), report=ReportConfig(trackers=()))
    for room, values in rooms.items():
        config = replace(config, **{room: replace(getattr(config, room), **values)})
    with RunFolder.create(config) as made:
        made.write_fingerprint(device="cpu")
        made.write_evaluation(0, evaluation(5), [first_turn(reply)])
        for update in range(1, updates + 1):
            made.write_metrics(update, {"episode/success": 0.5, "thought/perception": 1 - update / 10})
        made.write_evaluation(updates, evaluation(wins), [first_turn(reply)])
        return made.path


def evaluation(wins: int, panel: str = "ezpoints-same-100-abc") -> dict[str, Any]:
    health = {"episode/return": wins / 10, "thought/perception": 0.75}
    return {"panel": panel, "successes": wins, "episodes": 100, "success": wins / 100, "health": health}


def first_turn(text: str) -> Turn:
    task = tasks.load(build("gtr", "ezpoints").task)
    image, info = task.make_env().reset(options=START)
    prompt = Prompt(np.asarray(image), "say <b>what</b> you see")
    parsed = parse(text, True, task.thought_keys)
    return Turn(0, 0, 0, prompt, task.truth(info), Reply(text, (1,), (-0.1,), True), parsed, True, 0.0, Ending.RUNNING)


def four(folder: Path) -> list[Path]:
    return [new_run(folder, method, seed, 10 + 10 * seed) for method in ("rl4vlm", "gtr") for seed in (1, 2)]


# -- which runs are compared, and whether they may be ----------------------------------------------------------------


def test_runs_are_grouped_by_method_and_seed(tmp_path: Path) -> None:
    results = read_existing(four(tmp_path))
    assert [(one.method, one.seed, one.state) for one in results] == [
        (method, seed, State.FINISHED) for method in ("rl4vlm", "gtr") for seed in (1, 2)
    ]
    assert doubts(results) == []
    start, plain, guided = rows_of(results)
    assert (start.success, plain.seeds, guided.seeds) == (0.05, (0.2, 0.3), (0.2, 0.3))


def test_one_preset_with_two_settings_is_two_methods(tmp_path: Path) -> None:
    runs = [new_run(tmp_path, "gtr", 1), new_run(tmp_path, "gtr", 1, algo={"clip": 0.3}), new_run(tmp_path, "gtr", 2)]
    methods = [one.method for one in read_existing(runs)]
    clip = build("gtr", "ezpoints").algo.clip
    assert methods == [f"gtr (algo.clip {clip})", f"gtr (algo.clip {clip})", "gtr (algo.clip 0.3)"]


def test_runs_of_older_versions_are_compared_by_the_settings_of_today(tmp_path: Path) -> None:
    paths = [new_run(tmp_path, "gtr", seed) for seed in (1, 2)]
    file = paths[1] / "config.json"
    record = json.loads(file.read_text())
    record["task"] |= {"options": {"order": record["task"].pop("order")}}
    del record["report"], record["guidance"]["judge"]
    file.write_text(json.dumps(record))
    first, second = results = read_existing(paths)
    assert (first.method, second.method) == ("gtr", "gtr")
    assert {key for key in first.settings if first.settings[key] != second.settings[key]} <= {"seed", "report.trackers"}
    assert doubts(results) == []
    record["task"]["options"]["orders"] = "two"
    file.write_text(json.dumps(record))
    (_, broken) = read_existing(paths)
    assert broken.settings["task.options.orders"] == "two", "what this version cannot read is shown as it stands"
    assert broken.settings["guidance.judge"] == "off"


def test_a_comparisons_folder_stands_for_its_runs_and_each_counts_once(tmp_path: Path) -> None:
    paths = four(tmp_path / "runs")
    (tmp_path / "runs" / "agents").mkdir()
    assert len(read_existing([tmp_path, paths[0]])) == 4


def test_the_same_seed_twice_and_other_games_are_not_pooled(tmp_path: Path) -> None:
    """Whatever folder `gtr show` takes is reported: repeated seeds apart, each game by itself."""
    first, again = new_run(tmp_path / "runs", "gtr", 1), new_run(tmp_path / "runs", "gtr", 1)
    other = new_run(tmp_path / "runs", "gtr", 1, task={"name": "points24"})
    found = read_existing([tmp_path / "runs"])
    names = {Path(one.folder).name: one.method for one in found}
    assert names == {first.name: f"gtr ({first.name})", again.name: f"gtr ({again.name})", other.name: "gtr"}
    out = tmp_path / "out"
    assert report([tmp_path / "runs"], out) == out
    assert sorted(path.parent.name for path in out.glob("*/table.md")) == ["ezpoints", "points24"]
    assert "points24" not in (out / "ezpoints" / "table.md").read_text()
    with pytest.raises(RunError, match="not a run folder"):
        read_existing([tmp_path / "nothing"])


def test_what_is_not_alike_is_said(tmp_path: Path) -> None:
    paths = [new_run(tmp_path, "gtr", 1), new_run(tmp_path, "rl4vlm", 2, updates=2)]
    paths.append(new_run(tmp_path, "no_dagger", 1, task={"deck": "dark"}))
    RunFolder.open(paths[2], main=False)
    with RunFolder.open(paths[2]) as other:
        other.write_evaluation(UPDATES, evaluation(90, "ezpoints-same-100-other"))
        marks = json.loads((paths[2] / "fingerprint.json").read_text())
        marks[0]["packages"]["torch"] = "1.0"
        (paths[2] / "fingerprint.json").write_text(json.dumps(marks))
    results = read_existing(paths)
    said = doubts(results)
    assert said[0].startswith("rl4vlm, seed 2 has not reached its last update and does not count")
    assert "task.deck differs: classic (gtr, rl4vlm); dark (no_dagger)." in said
    assert any(one.startswith("Measured on different panels") and "other (no_dagger)" in one for one in said)
    assert "Run with different seeds: 1 (gtr, no_dagger); 2 (rl4vlm)." in said
    assert any("torch 1.0" in one for one in said)
    rows = {row.agent: row for row in rows_of(results)}
    assert (rows["rl4vlm"].unfinished, rows["rl4vlm"].seeds) == (1, ())
    assert np.isnan(rows["no_dagger"].times_start), "success on two panels is not compared"
    assert "(1 of 1 unfinished)" in cells(rows["rl4vlm"])
    assert "- task.deck differs" in markdown(list(rows.values()), "t", said)


def test_a_run_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    path = new_run(tmp_path, "gtr", 1)
    with RunFolder.open(path):
        (result,) = read_existing([path])
    assert result.state is State.RUNNING
    assert doubts([result]) == ["gtr, seed 1 is still being trained and does not count yet."]


# -- the command ----------------------------------------------------------------------------------------------------


def test_the_command_trains_nothing_and_writes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(path) for path in four(tmp_path / "a")]
    out = tmp_path / "out"
    assert run(["compare", "--from", *paths, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert f"report: {out / 'comparison.html'}" in text
    kinds = ("figure-column", "figure-page", "profile")
    figures = [f"{kind}.{ending}" for kind in kinds for ending in ("svg", "pdf", "png")]
    tables = [f"table.{ending}" for ending in ("csv", "md", "tex")]
    names = ["curves.png", "comparison.html", "results.json", "samples.md", "images", *tables, *figures]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert f"gtr compare --from {paths[0]}" in json.loads((out / "results.json").read_text())["study"]["command"]
    assert run(["compare", "--from", *paths, "--out", str(out)]) == 0, "a report may be made anew"
    (out / "comparison.json").write_text("{}")
    assert run(["compare", "--from", *paths, "--out", str(out)]) == 2
    assert "choose another folder with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("compare --from", "write the run folders after --from"),
        ("compare gtr --from x", "leave out gtr"),
        ("compare --from x --seeds 1 --algo.clip 0.1", "leave out --seeds --algo.clip 0.1"),
        ("compare --from nowhere", "not a run folder"),
    ],
)
def test_mistakes(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    assert message in capsys.readouterr().err


# -- what models wrote ----------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page_of(paths: Sequence[Path], out: Path) -> tuple[str, dict[str, Any]]:
    """The page that a comparison ends with, and the data inside."""
    write(study_of(read_existing(paths), "a <b>title</b> \u202e", ["gtr", "compare"]), out)
    text = (out / "comparison.html").read_text()
    packed = re.search(r'<script type="text/plain" id="packed-data">([^<]*)<', text)
    assert packed is not None
    return text, json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_no_reply_breaks_out_of_the_page(tmp_path: Path) -> None:
    text, data = page_of(four(tmp_path / "runs"), tmp_path / "out")
    page = Page(text)
    assert not {"iframe", "object", "form-action", "b-title"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not [value for name in ("src", "action") if (value := attributes.get(name))]
    (policy,) = [one["content"] for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
    assert (policy or "").startswith("default-src 'none'; script-src 'sha256-")
    assert "'unsafe-inline'" not in (policy or "").split("style-src")[0]
    assert "document.title=1" not in text, "what was said travels packed"
    assert "<b>title" not in text
    said = json.dumps(data)
    assert "document.title=1" in said
    assert data["answers"]["study"]["title"].startswith("a <b>title</b>")
    names = {turn["image"] for key, turns in data["answers"].items() if key.startswith("play/") for turn in turns}
    assert names <= set(data["images"])


def test_no_reply_breaks_out_of_the_markdown(tmp_path: Path) -> None:
    from gtr.compare.samples import markdown as samples
    from gtr.compare.samples import start_states

    text = samples(start_states(read_existing(four(tmp_path))))
    row = next(line for line in text.splitlines() if line.startswith("| after gtr"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert "<script" not in text
    assert "\u202e" not in text


def test_the_page_says_what_it_shows(tmp_path: Path) -> None:
    from gtr.compare.samples import markdown as samples

    paths = four(tmp_path / "runs")
    _, data = page_of(paths, tmp_path / "out")
    study = data["answers"]["study"]
    assert study["answers"][1].startswith("gtr succeeds in 0.25 of the starts")
    assert study["answers"][-1] == "The collapse alarm rang in no run."
    assert [row[0] for row in study["rows"]] == ["start", "rl4vlm†", "gtr†"]
    assert len(study["columns"]) == len(study["rows"][0])
    assert ["guidance.corrector", "none", "oracle"] in study["differ"]
    assert study["figure"].startswith("data:image/svg+xml;base64,")
    assert [run[0] for run in study["runs"]] == ["rl4vlm, seed 1", "rl4vlm, seed 2", "gtr, seed 1", "gtr, seed 2"]
    assert data["answers"]["overview"]["metrics"]["thought/perception"]["formula"]
    text = samples(study_of(read_existing(paths), "t", []).states)
    assert "perception right" in text
    assert "Start state 1" in text
    odd = [new_run(tmp_path / "odd", "gtr", 1, reply="\x1b]0;x\x07 {")]
    text = samples(study_of(read_existing(odd), "t", []).states)
    assert "malformed reply" in text
    assert r"\x1b]0;x\x07 {" in text


def test_the_viewer_shows_the_table_of_a_comparisons_folder(tmp_path: Path) -> None:
    study = study_of(read_existing(four(tmp_path / "runs")), "title", ["gtr"])
    write(study, tmp_path)
    found = read_study([tmp_path / "runs", tmp_path])
    assert found is not None
    assert found.pop("figure").startswith("data:image/svg+xml;base64,")
    assert found == shown(study)
    record = json.loads((tmp_path / "results.json").read_text())
    record["study"]["rows"] = [[1]]
    (tmp_path / "results.json").write_text(json.dumps(record))
    (tmp_path / "figure-page.svg").unlink()
    found = read_study([tmp_path])
    assert found is not None
    assert (found["rows"], found["figure"], found["title"]) == ([], "", "title")


def test_a_report_needs_no_task_file(tmp_path: Path) -> None:
    path = new_run(tmp_path, "gtr", 1)
    config = (path / "config.json").read_text()
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit('the code was run')\n")
    words = ["compare", "--from", str(path), "--out", str(tmp_path / "out")]
    for name in ("gone/game.py:Game", f"{evil}:Game"):
        text = config.replace('"ezpoints"', json.dumps(name)).replace('"oracle"', json.dumps(f"{evil}:Mine"))
        (path / "config.json").write_text(text)
        (state,) = study_of(read_existing([path]), "t", []).states
        assert state.samples[0].trouble.startswith("not checked: to judge its thoughts again, name its task")
        assert run(words) == 0
    assert not (tmp_path / "ran").exists(), "a run folder is data"
    with pytest.raises(SystemExit, match="the code was run"):
        run([*words, "--task", f"{evil}:Game"])
    assert (tmp_path / "ran").exists()


def test_visible_writes_out_what_steers() -> None:
    assert visible("a\n\tb é 漢") == "a\n\tb é 漢"
    assert visible("\x1b[0m\x9b\u200b\ud800\U000e0001") == r"\x1b[0m\x9b\u200b\ud800\U000e0001"


# -- LaTeX ----------------------------------------------------------------------------------------------------------


def test_the_latex_table_is_whole(tmp_path: Path) -> None:
    paths = [*four(tmp_path), new_run(tmp_path, "gtr", 3, algo={"clip": 0.3}, policy={"model": "a_b/50%&{$#"})]
    rows = rows_of(read_existing(paths))
    text = latex(rows, r"50% of a_b & c \ d", "gtr/x y")
    assert [line.strip() for line in text.splitlines() if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    opened = re.findall(r"\\begin\{(\S+?)\}", text)
    assert re.findall(r"\\end\{(\S+?)\}", text) == opened[::-1]
    plain = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert plain.count("{") == plain.count("}")
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == len(rows) + 1
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", text)
    assert columns is not None
    for line in lines:
        cells_of = re.split(r"(?<!\\)&", line)
        assert len(cells_of) == len(columns[1])
        assert not re.search(r"(?<!\\)[%#_]", line)
    assert r"50\% of a\_b \& c \textbackslash{} d" in text
    assert r"\label{tab:gtr-x-y}" in text
    assert r"a\_b" in text
    assert "0.12--0.33" in text or re.search(r"0\.\d\d--0\.\d\d", text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX: apt-get install texlive-latex-base")
def test_the_latex_table_fits_its_page(tmp_path: Path) -> None:
    """Compiled by a real LaTeX in a paper of two columns, with every preset's name: nothing sticks out, all is read."""
    names = [*PRESETS, "reinforce_pp+gtr"]
    measured = dict.fromkeys((name for name, _ in HEALTH), 0.98)
    about = {"collapse": "3/3 from turn 2304: thought/perception", "runs": 3, "starts": 100}
    rows = [
        Row(
            name,
            (0.5, 0.6, 0.7),
            0.6,
            Interval(0.6, 0.41, 0.77),
            {**dict.fromkeys((name for name, _ in HEALTH), 0.5), **measured},
            **about,
        )
        for name in names
    ]
    rows.append(replace(rows[0], agent="one", runs=1, worse=frozenset(measured), developed=True))
    preamble = r"\documentclass[twocolumn]{article}\usepackage{booktabs}\begin{document}"
    table = latex(rows, "points24: rl4vlm, gtr; seeds 1, 2, 3", "t")
    (tmp_path / "paper.tex").write_text(f"{preamble}\n{table}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "Missing character" not in (tmp_path / "paper.log").read_text()
    assert "0.41--0.77$\\ddagger$" in table
    assert "one run, whose interval speaks for other starts" in table


# -- pictures -------------------------------------------------------------------------------------------------------


def curves(method: str, seed: int) -> RunResult:
    turns = [100 * i for i in range(1, 13)]
    rng = np.random.default_rng([len(method), seed])
    names = ("thought/perception", "thought/start_plan", "action/follows", "action/max_share", "thought/self_bleu2")
    series = {name: rng.random(12).tolist() for name in names}
    collapse = Collapse(6, 600, ("thought/perception",)) if method == "rl4vlm" else None
    panel = {0: 0.1, 1200: 0.5}
    return RunResult(method, seed, State.FINISHED, "x", "", turns, series, panel, collapse=collapse)


METHODS = ("gtr", "rl4vlm", "no_dagger", "annealed_cloning")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_pictures_are_readable(layout: Any) -> None:
    """Every text is large enough, inside the picture, and none covers another."""
    results = [curves(method, seed) for method in METHODS for seed in (1, 2)]
    with matplotlib.rc_context({"font.size": layout.font}):
        made = figure(results, "a title", layout)
        made.set_layout_engine("constrained")
        canvas = FigureCanvasAgg(made)
        canvas.draw()
    shown = [text for text in made.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in shown]
    assert min(text.get_fontsize() for text in shown) >= 7
    # Ticks outside the limits have texts too, which are not drawn.
    number = re.compile(r"[\d.\u2212]+")
    labels = [(t, box) for t, box in zip(shown, boxes, strict=True) if not number.fullmatch(t.get_text())]
    assert len(labels) > len(layout.panels) + len(METHODS)
    for text, box in labels:
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= made.bbox.width, text.get_text()
    for i, (one, box) in enumerate(labels):
        for other, second in labels[i + 1 :]:
            assert not box.overlaps(second), (one.get_text(), other.get_text())


def test_methods_differ_in_black_and_white() -> None:
    made = figure([curves(method, 1) for method in METHODS], "t", LAYOUTS[1])
    handles = made.legends[0].legend_handles
    looks = {(line.get_linestyle(), line.get_marker()) for line in handles if line is not None}
    assert len(looks) == len(METHODS) + 1, "four methods and the alarm"
    assert len(set(STYLES)) == len(STYLES) == len(set(MARKERS))


def test_pictures_for_papers_are_vectors_and_equal_runs_give_equal_files() -> None:
    results = [curves("gtr", 1)]
    svg = rendered(results, "t", LAYOUTS[1], "svg")
    assert b"<image" not in svg
    assert svg == rendered(results, "t", LAYOUTS[1], "svg")
    width = re.search(rb'width="([\d.]+)pt"', svg)
    assert width is not None
    assert float(width[1]) / 72 == pytest.approx(3.35)
    pdf = rendered(results, "t", LAYOUTS[2], "pdf")
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf, "journals refuse Type 3 fonts"
