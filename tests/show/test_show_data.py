"""What the viewer reads and says: whole folders, half written and damaged ones, and the story it tells of them."""

import asyncio
import gzip
import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
import show_cases
from show_cases import gtr, served, write_run

from gtr.cli.show import parse_show
from gtr.errors import ConfigError, RunError
from gtr.metrics.table import describe
from gtr.report import Run, RunFolder
from gtr.report.found import find_runs
from gtr.report.history import read_history
from gtr.report.records import TURN, fitted
from gtr.show.episodes import COLUMNS, parts
from gtr.show.overview import overview
from gtr.show.page import bundle, names, own
from gtr.show.server import make_app
from gtr.show.source import Source


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison's folder: one run without guidance whose thoughts rot, one with."""
    out = tmp_path_factory.mktemp("comparison")
    write_run(out / "runs", "rl4vlm-seed1", "rl4vlm")
    write_run(out / "runs", "gtr-seed1", "gtr")
    (out / "runs" / "agents" / "points24-0").mkdir(parents=True)
    return out


@pytest.fixture
def run(comparison: Path, tmp_path: Path) -> Path:
    """A run that a test may damage."""
    return Path(shutil.copytree(comparison / "runs" / "gtr-seed1", tmp_path / "gtr-seed1"))


# -- finding runs -------------------------------------------------------------------------------------------------
def test_runs_are_found_wherever_they_lie(comparison: Path) -> None:
    runs = comparison / "runs"
    both = ["gtr-seed1", "rl4vlm-seed1"]
    assert [one.path.name for one in find_runs([comparison])] == both
    assert [one.path.name for one in find_runs([runs])] == both
    assert [one.path.name for one in find_runs([runs / "rl4vlm-seed1", comparison])] == both[::-1]


def test_a_place_without_runs_is_named_with_the_nearest_one(comparison: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="did you mean 'gtr-seed1'"):
        find_runs([comparison / "runs" / "gtr-seed2"])
    with pytest.raises(RunError, match="train one first"):
        find_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ([], "write the run folders first"),
        (["x", "--port", "70000"], "a whole number from 0 to 65535"),
        (["x", "--export", "no-such-folder/report.html"], "the folder no-such-folder does not exist; make it first"),
    ],
)
def test_mistakes_name_the_remedy(words: list[str], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        parse_show(words)


def test_a_taken_port_is_named(run: Path) -> None:
    with served(run) as address:
        port = address.rstrip("/").rpartition(":")[2]
        done = subprocess.run(gtr("show", run, "--port", port, "--no-browser"), capture_output=True, text=True)
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_packages_the_remedy_is_named(run: Path, tmp_path: Path) -> None:
    """A stand-in that fails to import takes the place of the packages."""
    for name in ("uvicorn", "plotly"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name}', name={name!r})")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from gtr.cli import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, "show", str(run)], capture_output=True, text=True)
    assert (done.returncode, "pip install 'guided-thought[show]'" in done.stderr) == (2, True), done.stderr


def test_the_viewer_starts_without_torch() -> None:
    code = (
        "import sys, gtr.show.server, gtr.show.export; print([n for n in ('torch', 'matplotlib') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# -- whole folders ------------------------------------------------------------------------------------------------
def test_the_overview_holds_curves_and_their_meaning(comparison: Path) -> None:
    found = Source(find_runs([comparison])).overview()
    plain, guided = found["runs"][1], found["runs"][0]
    assert (plain["method"], plain["guided"], plain["done"], plain["goes_on"]) == ("rl4vlm", False, 3, False)
    assert plain["series"]["thought/perception"] == [0.9, 0.45, 0.3]
    assert [one["success"] for one in guided["panel"]] == [0.0, 1.0]
    assert guided["reached"] == {"turns": [12, 24, 36], "seconds": [2, 4, 6], "tokens": [36, 72, 108]}
    row = describe("thought/perception")
    assert row is not None
    assert found["metrics"]["thought/perception"]["formula"] == row.formula
    assert [one["problems"] for one in found["runs"]] == [[], []]


def test_a_comparison_of_runs_that_lie_elsewhere_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "comparison.html").touch()
    with pytest.raises(RunError, match="runs that lie elsewhere"):
        find_runs([tmp_path])


def test_parts_of_episodes_add_up(run: Path) -> None:
    found = Source(find_runs([run])).parts(0, -1)
    assert (found["done"], found["next"], found["problems"]) == (True, 3, [])
    assert [part["update"] for part in found["parts"]] == [1, 2, 3]
    columns = found["parts"][1]["columns"]
    assert list(columns) == list(COLUMNS)
    assert columns["env"] == [0, 0, 0, 1, 1, 1]
    assert columns["episode"] == [3, 4, 5, 3, 4, 5]
    assert columns["success"] == [1, 0, 1, 0, 1, 0]
    assert columns["reward"] == [9.0, -2.0, 9.0, -2.0, 9.0, -2.0]
    assert columns["corrected"] == [1, 1, 1, 0, 0, 0]
    assert columns["tokens"] == [6] * 6
    assert columns["logprob"] == [-5.5] * 6
    thoughts = found["parts"][1]["thoughts"]
    assert thoughts["total"] == 12
    assert thoughts["fields"]["thoughts"] == [["next 2", 12]]
    named = {
        turn["image"]
        for env in (0, 1)
        for number in (3, 4, 5)
        for turn in Source(find_runs([run])).turns(0, 2, env, number)
    }
    assert thoughts["pictures"]["thoughts"] == [{"count": 3, "images": sorted(named)}]


def test_the_kind_of_a_household_task_is_kept() -> None:
    turn, _ = fitted({"env": 0, "episode": 0, "truth": {"kind": "heat", "Formula": []}}, TURN)
    assert parts([turn])["kind"] == ["heat"]


def test_turns_bring_the_tasks_own_answers_and_the_experts_thought(run: Path) -> None:
    turns = Source(find_runs([run])).turns(0, 1, 0, 0)
    assert [one["turn"] for one in turns] == [0, 1]
    assert turns[0]["checks"]["perception"] is True
    assert turns[0]["checks"]["plan"] is False
    assert turns[0]["expert"]["cards"] == [2, 4, 4, 10]
    assert eval_formula(turns[0]["expert"]["formula"]) == 24


def eval_formula(text: str) -> float:
    """A formula's worth by Python's own parser, letters kept out."""
    assert set(text) <= set("0123456789+-*/()=")
    return float(eval(text.rstrip("=")))


def test_a_folder_cannot_name_code_to_run(run: Path, tmp_path: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit\n")
    config = json.loads((run / "config.json").read_text())
    config["task"]["name"] = f"{evil}:Task"
    (run / "config.json").write_text(json.dumps(config))
    source = Source(find_runs([run]))
    assert "--task" in source.turns(0, 1, 0, 0)[0]["unjudged"]
    assert "--task" in source.overview()["runs"][0]["notes"][0]
    assert not (tmp_path / "ran").exists()


# -- half written, cut short, damaged -----------------------------------------------------------------------------
def problems(run: Path) -> list[str]:
    source = Source(find_runs([run]))
    source.overview()
    source.parts(0, -1)
    return list(source.overview()["runs"][0]["problems"]) or source.parts(0, -1)["problems"]


def test_a_line_being_written_is_no_problem_and_a_damaged_one_is_named(run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"update": 4, "epis')
    assert problems(run) == []
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([lines[0], '{"upd', *lines[2:3]]) + "\n")
    (told,) = problems(run)
    assert re.fullmatch(r"metrics\.jsonl, line 2: is not JSON \(.*\); it is left out", told)
    assert read_history(find_runs([run])[0]).updates == [1, 3]


def test_a_cut_transcript_gives_what_it_holds(run: Path) -> None:
    file = run / "turns" / "update_00002.jsonl.gz"
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    noise = [
        json.dumps({**json.loads(line), "prompt": Random(i).randbytes(300).hex()}).encode() + b"\n"
        for i, line in enumerate(lines)
    ]
    data = gzip.compress(b"".join(noise))
    seen = set()
    for size in range(0, len(data), len(data) // 9):
        file.write_bytes(data[:size])
        found = Source(find_runs([run])).parts(0, -1)
        turns = sum(found["parts"][1]["columns"]["turns"])
        seen.add(turns)
        assert any(f"{turns} turns of it can be read" in problem for problem in found["problems"])
        assert sum(found["parts"][2]["columns"]["turns"]) == 12
    assert {0} < seen
    assert len(seen) > 5


@pytest.mark.parametrize("damage", ["zeros", "text", "list"])
def test_a_spoilt_transcript_does_not_stop_the_page(run: Path, damage: str) -> None:
    file = run / "turns" / "update_00002.jsonl.gz"
    spoilt = {
        "zeros": bytes(300),
        "text": gzip.compress(b"hello\n[1]\n"),
        "list": gzip.compress(b'{"env": 0}\n{"fields": 3, "reward": "x", "verdict": 7, "status": "complete"}\n'),
    }
    file.write_bytes(spoilt[damage])
    found = Source(find_runs([run])).parts(0, -1)
    assert [part["update"] for part in found["parts"]] == [1, 2, 3]
    about = {
        "zeros": "is damaged",
        "text": "line 1: is not JSON",
        "list": "line 2: has no usable reward, fields, verdict",
    }
    (told,) = found["problems"]
    assert about[damage] in told


def test_whatever_is_missing_the_rest_is_shown(run: Path) -> None:
    for name in ("config.json", "metrics.jsonl", "evaluations", "probes"):
        away = run / name
        shutil.rmtree(away) if away.is_dir() else away.unlink()
        source = Source(find_runs([run]))
        found = source.overview()["runs"][0]
        assert len(source.parts(0, -1)["parts"]) == 3
        assert source.turns(0, 1, 0, 0)[0]["reply"]
        assert "config.json: is missing; the run is read without its settings" in found["problems"]
    assert found["updates"] == []
    assert source.overview()["groups"][0]["story"]["headline"].startswith("Too early to tell")
    assert source.probe(0, 1)["scores"] == []


def test_missing_pictures_are_counted(run: Path) -> None:
    pictures = sorted((run / "images").iterdir())
    for picture in pictures[:2]:
        picture.unlink()
    assert problems(run) == ["images: 2 of the pictures that its turns name are missing; the others are shown"]


def test_a_run_that_goes_on_is_read_on(run: Path) -> None:
    source = Source(find_runs([run]))
    before = source.version()
    assert source.parts(0, -1)["next"] == 3
    with RunFolder.open(run) as folder:
        show_cases.write_update(folder, 4, "next 2", guided=True)
    assert source.version() != before
    assert [part["update"] for part in source.parts(0, 3)["parts"]] == [4]
    assert source.overview()["runs"][0]["done"] == 4


def test_an_old_run_without_tokens_opens(run: Path) -> None:
    for file in (run / "turns").iterdir():
        records = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
        for record in records:
            for name in ("per_token", "ratio", "lesson"):
                del record[name]
        file.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in records).encode()))
    shutil.rmtree(run / "probes")
    assert problems(run) == []
    assert "checks" in Source(find_runs([run])).turns(0, 1, 0, 0)[0]


# -- one start state, before and after ---------------------------------------------------------------------------
def test_the_pair_shows_the_same_state_before_and_after(comparison: Path) -> None:
    pair: Any = overview(find_runs([comparison]))["groups"][0]["pair"]
    assert [(cell["method"], cell["when"]) for cell in pair["cells"]] == [
        (None, "before training"),
        ("rl4vlm", "after 3 updates"),
        ("gtr", "after 3 updates"),
    ]
    assert (pair["of"], pair["number"]) == (4, 0)
    assert [(cell["won"], cell["wins"]) for cell in pair["cells"]] == [(False, 0), (False, 0), (True, 4)]
    assert pair["chosen"] == "The trained agents end differently on 4 of 4, and on 4 of them as here."


# -- the server ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def address(comparison: Path) -> Iterator[str]:
    with served(comparison) as found:
        yield found


def fetch(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, b""


PLACES = (
    *("", "api/overview", "api/study", "api/version", "api/parts/0/-1"),
    *("charts.js", "page/main.js", "page/style.css"),
)


def test_the_server_guards_what_it_serves(comparison: Path) -> None:
    with served(comparison) as address:
        for place in (*PLACES, "nowhere", "api/parts/0/abc", "api/panel/9/0"):
            status, headers, _ = fetch(address + place)
            policy = headers["content-security-policy"]
            assert status == (200 if place in PLACES else 404), place
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
        assert fetch(f"{address}api/turns/0/99/0/0")[2] == b"[]\n"
        picture = next((comparison / "runs" / "gtr-seed1" / "images").iterdir())
        assert fetch(f"{address}image/0/{picture.name}")[2] == picture.read_bytes()


WRONG = ("abc", "-2", "1.5", "9" * 5000, "1" * 10, "٣", "0x1", "%00", "..%2f..", "1e3", "+1", " 1")


NUMBERED = (
    *("parts/0/{}", "parts/{}/0", "turns/0/{}/0/0", "turns/0/1/{}/0", "turns/0/1/0/{}", "turns/{}/1/0/0"),
    *("panel/{}/0", "panel/0/{}", "play/0/0/{}", "play/{}/0/0", "play/0/{}/0", "probe/0/{}", "probe/{}/1"),
)


@pytest.mark.parametrize("place", NUMBERED)
def test_places_that_are_none(address: str, place: str) -> None:
    for wrong in WRONG:
        assert fetch(f"{address}api/{place.format(quote(wrong, safe='%'))}")[0] == 404, wrong[:20]


def test_files_that_are_no_pictures(address: str) -> None:
    for name in ("..%2f..%2fconfig.json", "config.json", "0" * 20 + ".png", "x" * 5000, "%2fetc%2fpasswd", "a%00.png"):
        assert fetch(f"{address}image/0/{name}")[0] == 404, name[:30]
        assert fetch(f"{address}page/{name}")[0] == 404, name[:30]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "localhost.evil.example:80"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "[::1"}, 400),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8024"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
def test_who_is_answered(address: str, headers: dict[str, str], status: int) -> None:
    for place in ("", "api/overview"):
        assert fetch(address + place, **headers)[0] == status
        assert fetch(address + place, **headers)[1]["content-security-policy"]


def test_its_own_origin_is_answered(address: str) -> None:
    assert fetch(f"{address}api/overview", Origin=address.rstrip("/"))[0] == 200


def test_a_name_that_is_given_is_answered_and_no_other(comparison: Path) -> None:
    """Served to others, the page goes by addresses of digits and the machine's own names, not by a stranger's."""
    app = make_app(find_runs([comparison]), host="0.0.0.0")

    def status(host: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        headers = [(b"host", host.encode())]
        scope = {"type": "http", "method": "GET", "path": "/api/version", "query_string": b"", "headers": headers}
        asyncio.run(app(scope, receive, send))
        return int(sent[0]["status"])

    assert [status(host) for host in ("192.168.1.7:80", "localhost", socket.gethostname())] == [200] * 3
    assert [status(host) for host in ("evil.example", "192.168.1.7.evil.example")] == [400] * 2


def test_the_bundle_holds_every_module_once() -> None:
    text = bundle()
    scripts = [name for name in names() if name.endswith(".js")]
    assert len(scripts) > 8
    for name in scripts:
        assert text.count(f'modules["{name.removesuffix(".js")}"] = ') == 1
    assert "\nimport " not in text
    assert "\nexport " not in text


# -- colours ------------------------------------------------------------------------------------------------------
def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts_ = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts_]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    """The light colours, and the dark ones over them."""
    light, dark = own("style.css").split("@media (prefers-color-scheme: dark)")
    read = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text)) for text in (light, dark.split("\n}\n")[0])]
    return [read[0], read[0] | read[1]]


@pytest.mark.parametrize("dark", [False, True])
def test_colours_can_be_told_apart_by_everybody(dark: bool) -> None:
    colours = palettes()[dark]
    for back in ("page", "card"):
        for front in ("ink", "soft", "accent", "good", "bad"):
            assert contrast(colours[front], colours[back]) >= 4.5, (front, back)
        for slot in range(8):
            assert contrast(colours[f"method-{slot}"], colours[back]) >= 3, (slot, back)
    for front, back in (("good", "good-back"), ("bad", "bad-back"), ("ink", "warn-back"), ("page", "accent")):
        assert contrast(colours[front], colours[back]) >= 4.5, (front, back)


def test_the_transcripts_held_are_bounded_over_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: Any = OrderedDict()
    monkeypatch.setattr("gtr.report.run._HELD", held)
    monkeypatch.setattr("gtr.report.run.KEPT", 1)
    source = Source([Run(write_run(tmp_path, name)) for name in ("a", "b")])
    for run in (0, 1):
        source.parts(run, -1)
    assert [run.path.name for run, _ in held] == ["b"]
    assert source.parts(0, -1) == Source([Run(tmp_path / "a")]).parts(0, -1)
