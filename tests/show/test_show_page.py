"""The viewer's page in a real browser: opened, filtered, walked by keys, exported; what a model wrote never runs."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import show_cases
from show_cases import ANSI, HOSTILE, SCRIPT, gtr, served, write_run

from gtr.compare import study_of, write
from gtr.compare.from_runs import read_existing
from gtr.config import Config
from gtr.report import Run, RunFolder
from gtr.train import train

playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'guided-thought[dev]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium"),
]
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
PATIENCE = 90_000
"""Milliseconds to wait for what is sure to come: a machine may be busy with other tests."""
VIEWS = ("overview", "episodes", "turn/0/0/0/0", "compare", "collapse")
Page = Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    """A page that fails the test at its end if a script of it failed or broke its own rules."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert troubles == []


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("comparison")
    write_run(out / "runs", "rl4vlm-seed1", "rl4vlm", updates=5)
    write_run(out / "runs", "gtr-seed1", "gtr", updates=5)
    return out


@pytest.fixture(scope="module")
def address(comparison: Path) -> Iterator[str]:
    with served(comparison) as found:
        yield found


def visit(page: Page, address: str, view: str = "overview") -> None:
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}#/{view}", timeout=PATIENCE)
    path = view.partition("?")[0]
    page.wait_for_selector(f"body[data-state=read] #view[data-drawn='#/{path}']")


def rows(page: Page) -> list[str]:
    """The rows of the list of episodes that are in the page."""
    return list(page.locator(".episodes tbody tr:not(.spacer)").all_inner_texts())


def count(page: Page) -> str:
    return str(page.locator(".count").inner_text())


def choose(page: Page, label: str, option: str) -> None:
    page.locator(f".control:has(> span:text-is('{label}')) select").select_option(option)
    page.wait_for_selector("#view[data-drawn]")


# -- a real run ---------------------------------------------------------------------------------------------------
def test_a_real_run_is_opened_walked_and_exported(
    page: Page, settings: Callable[..., Config], speaker: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = {"policy.model": str(speaker("tiny-llava")), "policy.max_new_tokens": 16}
    run = train(settings("gtr", "numberline", "tiny-llava", **chosen))
    first = Run(run).turns(1)[0]
    file = tmp_path / "report.html"
    done = subprocess.run(gtr("show", run, "--export", file), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with served(run) as found:
        for place in (found, file.as_uri()):
            visit(page, place, "turn/0/0/0/0")
            assert page.locator(".tokens").inner_text().strip("⏎") == first["reply"]
            tokens = page.locator(".token")
            assert tokens.count() == first["tokens"]
            assert f"{first['per_token']['logprobs'][0]:.3f}".rstrip("0") in tokens.first.get_attribute("title")
            numbers = page.locator(".numbers").inner_text()
            assert f"{round(first['value'], 3)}".rstrip("0") in numbers
            page.locator(".large").wait_for()
            assert page.evaluate("document.querySelector('.large').naturalWidth") == 96
            page.locator("nav >> text=Collapse").click()
            page.locator(".matrix td.own").first.wait_for()


def test_the_head_stays_in_one_row_whatever_it_tells(page: Page, tmp_path: Path) -> None:
    for method in ("rl4vlm", "gtr", "announced_actions", "clone_actions", "annealed_cloning", "turbo_kl_per_token"):
        write_run(tmp_path, f"{method}-seed1", method)
    with served(tmp_path) as found:
        visit(page, found)
        assert page.locator("header").bounding_box()["height"] < 60
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


# -- the overview -------------------------------------------------------------------------------------------------
def test_the_overview_tells_the_story_and_draws_the_curves(page: Page, address: str) -> None:
    visit(page, address)
    assert page.locator("#headline").inner_text() == (
        "Without guidance, thoughts collapsed; guided, they changed too little to tell, and are not clearly sound."
    )
    assert "alarm rang (update 4)" in page.locator(".fates").inner_text()
    page.locator(".telling .js-plotly-plot").nth(2).wait_for()
    charts = "[...document.querySelectorAll('.telling .js-plotly-plot')]"
    drawn = page.evaluate(f"{charts}.map((chart) => chart.data.map((trace) => trace.y))")
    assert drawn[0][0] == [0.95] * 5
    assert drawn[0][1] == pytest.approx([0.9, 0.45, 0.3, 0.225, 0.18])
    assert drawn[0][2] == pytest.approx([0.225])  # the cross where the alarm rang
    assert drawn[2][:2] == [[0.0, 1.0], [0.0, 0.25]]
    card = page.locator(".telling .card").first
    card.locator("summary").click()
    assert "judged thoughts" in card.locator(".meaning").inner_text()
    assert page.locator(".pair .cell").count() == 3


@pytest.mark.parametrize(("chart", "update", "shown"), [(0, 3, "12 of 76 episodes"), (2, 5, "8 of 76 episodes")])
def test_a_point_of_a_curve_leads_to_its_episodes(
    page: Page, address: str, chart: int, update: int, shown: str
) -> None:
    """Of the training curves to the update's episodes, of the panel's to those of the evaluation."""
    visit(page, address)
    place = page.locator(".telling .js-plotly-plot").nth(chart)
    place.locator(".nsewdrag").wait_for()
    x = place.evaluate("(one, x) => one._fullLayout.xaxis.l2p(x) + one._fullLayout._size.l", update)
    y = place.evaluate("one => one._fullLayout.yaxis.l2p(one.data[0].y.at(-1)) + one._fullLayout._size.t")
    place.hover(position={"x": x, "y": y})
    page.wait_for_timeout(200)
    place.click(position={"x": x, "y": y})
    page.wait_for_selector("main[data-view=episodes]")
    assert f"from={update}&to={update}" in page.url
    page.wait_for_selector(f".count:text-is('{shown}')")


def test_a_method_can_be_hidden(page: Page, address: str) -> None:
    visit(page, address)
    page.locator(".chip", has_text="rl4vlm").click()
    page.wait_for_selector(".chip input:not(:checked)")
    page.locator(".telling .js-plotly-plot").nth(1).wait_for()
    traces = page.evaluate("document.querySelector('.telling .js-plotly-plot').data.length")
    assert traces == 1


PERCEPTION = "document.querySelector('.telling .js-plotly-plot')"


def redrawn(page: Page, condition: str) -> None:
    """Waits until the first telling curve is drawn as a condition on `data` and `axis` says."""
    found = f"(chart => chart?._fullLayout && ((data, axis) => {condition})(chart.data, chart._fullLayout.xaxis))"
    for _ in range(PATIENCE // 100):
        if page.evaluate(f"{found}({PERCEPTION})"):
            return
        page.wait_for_timeout(100)
    raise AssertionError(condition)


def test_curves_are_drawn_over_what_is_chosen(page: Page, address: str) -> None:
    """Environment turns, seconds and tokens as the run counted them; the agent at its start lies at 0."""
    visit(page, address)
    redrawn(page, "data[0].x.join() === '1,2,3,4,5'")
    for option, step in {"turns": 12, "seconds": 2, "tokens": 36}.items():
        choose(page, "curves over", option)
        redrawn(page, f"data[0].x.join() === '{','.join(str(step * i) for i in range(1, 6))}'")
        last = page.locator(".telling .js-plotly-plot").last
        assert last.evaluate("one => one.data[0].x") == [0, 5 * step]
    page.reload()
    redrawn(page, "data[0].x.join() === '36,72,108,144,180'")
    assert page.url.endswith("?x=tokens")


def test_curves_are_smoothed_but_evaluations_are_not(page: Page, address: str) -> None:
    visit(page, address)
    page.get_by_label("smoothing").evaluate("one => { one.value = 0.5; one.dispatchEvent(new Event('change')); }")
    weights = [0.5 * 0.5**i for i in range(5)]
    raw = [0.9, 0.45, 0.3, 0.225, 0.18]
    wanted = [sum(raw[n - i] * weights[i] for i in range(n + 1)) / sum(weights[: n + 1]) for n in range(5)]
    redrawn(page, f"Math.abs(data[1].y[1] - {wanted[1]}) < 1e-4")
    assert page.evaluate(f"{PERCEPTION}.data[1].y") == pytest.approx(wanted, abs=1e-4)
    assert page.get_by_label("smoothing").input_value() == "0.5"
    last = page.locator(".telling .js-plotly-plot").last
    assert last.evaluate("one => one.data.slice(0, 2).map(trace => trace.y)") == [[0, 1], [0, 0.25]]


def test_a_part_of_the_curves_is_shown_by_drag_or_by_numbers(page: Page, address: str) -> None:
    """All charts show the same part, which stands in the address."""
    visit(page, address)
    redrawn(page, "axis.range[1] > 4.9")
    page.locator(".telling").scroll_into_view_if_needed()
    box = page.locator(".telling .js-plotly-plot .nsewdrag").first.bounding_box()
    for share, act in ((0.3, page.mouse.down), (0.7, page.mouse.up)):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2, steps=4)
        act()
    redrawn(page, "axis.range[0] > 1.5 && axis.range[1] < 4.5")
    low, high = page.evaluate(f"{PERCEPTION}._fullLayout.xaxis.range")
    assert f"zoom={low:g}..{high:g}" in page.url
    assert float(page.get_by_label("shown from").input_value()) == pytest.approx(low)
    last = page.locator(".telling .js-plotly-plot").last
    assert last.evaluate("one => one._fullLayout.xaxis.range") == [low, high]
    page.get_by_role("button", name="show all").click()
    redrawn(page, "axis.range[1] > 4.9")
    assert "zoom" not in page.url
    page.get_by_label("shown from").fill("2")
    page.get_by_label("shown from").press("Enter")
    redrawn(page, "axis.range[0] === 2 && axis.range[1] === 5")
    page.get_by_role("button", name="show all").click()
    redrawn(page, "axis.range[0] < 2")


def test_metrics_are_found_by_a_part_of_their_name(page: Page, address: str) -> None:
    visit(page, address, "overview?curves=LOSS")
    assert page.locator(".group .card figcaption").all_inner_texts() == ["loss/policy"]


def test_columns_of_the_runs_are_chosen_and_kept_in_the_address(page: Page, address: str) -> None:
    """A setting and a metric, put in order by either; what is not known comes last."""
    visit(page, address)
    table = page.get_by_role("region", name="runs").locator("table")
    names = "[...document.querySelectorAll('table.study')[0].tHead.rows[0].cells].map((one) => one.innerText)"

    def column(name: str) -> list[str]:
        at = [title.split(" ▲")[0].split(" ▼")[0].rstrip("×") for title in page.evaluate(names)].index(name)
        return [row.locator("td, th").nth(at).inner_text() for row in table.locator("tbody tr").all()]

    page.get_by_label("add a column").select_option("algo.name")
    page.get_by_label("add a column").select_option("thought/perception")
    assert column("algo.name") == ["gtr", "rl4vlm"]
    assert column("thought/perception") == ["0.95", "0.18"]
    page.get_by_label("order by thought/perception").click()
    page.wait_for_selector("th[aria-sort=ascending]")
    assert column("run") == ["rl4vlm-seed1", "gtr-seed1"]
    page.get_by_label("remove the column update").click()
    page.reload()
    page.wait_for_selector("body[data-state=read] th[aria-sort=ascending]")
    assert column("thought/perception") == ["0.18", "0.95"]
    assert "update" not in page.evaluate(names)
    page.get_by_role("button", name="usual columns").click()
    page.get_by_label("order by update").wait_for()
    assert "columns" not in page.url


# -- the list -----------------------------------------------------------------------------------------------------
def test_filters_and_order(page: Page, address: str) -> None:
    visit(page, address, "episodes")
    assert count(page) == "60 of 76 episodes"
    choose(page, "outcome", "won")
    assert count(page) == "30 of 76 episodes"
    choose(page, "corrected", "yes")
    assert count(page) == "10 of 76 episodes"
    assert all("gtr-seed1" in row for row in rows(page))
    page.get_by_role("button", name="Clear").click()
    choose(page, "alarm ringing", "yes")
    assert count(page) == "18 of 76 episodes"
    page.locator(".control", has_text="updates from").locator("input").fill("5")
    assert count(page) == "6 of 76 episodes"
    page.get_by_role("button", name="Clear").click()
    title = page.locator("th button[data-key=reward]")
    title.click()
    title.click()
    assert page.locator("th[aria-sort=descending]").inner_text() == "return ▼"
    assert "won" in rows(page)[0]
    assert page.url.endswith("#/episodes?sort=reward&down=yes")
    page.locator(".control", has_text="updates from").locator("input").fill("99")
    assert "clear some" in count(page)


def test_what_is_chosen_is_kept_in_the_address(page: Page, address: str) -> None:
    visit(page, address, "episodes?outcome=won&corrected=yes&sort=turns&down=yes")
    assert count(page) == "10 of 76 episodes"
    page.locator("nav >> text=Overview").click()
    page.wait_for_selector("main[data-view=overview]")
    page.go_back()
    page.wait_for_selector("main[data-view=episodes]")
    assert count(page) == "10 of 76 episodes"
    page.reload()
    page.wait_for_selector("body[data-state=read] main[data-view=episodes]")
    assert count(page) == "10 of 76 episodes"
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector(".count:text-is('60 of 76 episodes')")
    assert page.url.endswith("#/episodes")


def test_place_and_choice_survive_a_look_at_a_turn(page: Page, address: str) -> None:
    """Arrow keys walk the list after a filter was set too, by mouse or by key."""
    visit(page, address, "episodes")
    page.set_viewport_size({"width": 1280, "height": 600})
    page.locator(".control", has_text="outcome").locator("select").click()
    choose(page, "outcome", "lost")
    page.keyboard.press("Escape")
    for _ in range(25):
        page.keyboard.press("ArrowDown")
    before = page.locator(".chosen").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn-head")
    page.keyboard.press("Escape")
    page.wait_for_selector(".chosen")
    assert page.locator(".chosen").inner_text() == before
    chosen, around = page.locator(".chosen").bounding_box(), page.locator(".scroller").bounding_box()
    assert around["y"] < chosen["y"] < around["y"] + around["height"]
    page.keyboard.press("ArrowUp")
    page.wait_for_timeout(200)
    assert page.locator(".chosen").inner_text() != before


@pytest.mark.parametrize("exported", [False, True])
def test_replies_are_searched_and_evaluations_browsed(
    page: Page, comparison: Path, address: str, exported: bool, tmp_path: Path
) -> None:
    """The text of one method's replies finds its episodes alone; those of its panels are found and opened too."""
    runs = tmp_path / "runs"
    write_run(runs, "rl4vlm-seed1", "rl4vlm", "a Straße <b>")
    write_run(runs, "gtr-seed1", "gtr", "other")
    file = tmp_path / "report.html"
    assert subprocess.run(gtr("show", runs, "--export", file), capture_output=True).returncode == 0
    with served(runs) as found:
        visit(page, file.as_uri() if exported else found, "episodes")
        choose(page, "played in", "")
        page.get_by_label("replies that say").fill("A straße <B")
        page.wait_for_selector(".count:text-is('26 of 52 episodes')")
        assert all("rl4vlm" in row for row in rows(page))
        choose(page, "played in", "evaluation")
        page.wait_for_selector(".count:text-is('8 of 52 episodes')")
        assert "start 1" in rows(page)[0]
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=evaluation after update 0, start state 1:")
        assert "Straße" in page.locator(".tokens").inner_text()
        page.get_by_role("link", name="Episodes").click()
        page.get_by_label("replies that say").fill("nothing says this")
        page.wait_for_selector(".count:has-text('clear some')")
        page.goto("about:blank")


def test_runs_that_cannot_be_compared_are_chosen_between(page: Page, tmp_path: Path) -> None:
    write_run(tmp_path, "gtr-seed1")
    other = write_run(tmp_path, "rl4vlm-seed1", "rl4vlm")
    config = json.loads((other / "config.json").read_text())
    config["task"]["name"] = "ezpoints"
    (other / "config.json").write_text(json.dumps(config))
    with served(tmp_path) as found:
        visit(page, found)
        assert page.locator(".fates li").count() == 1
        assert "(gtr)" in page.locator(".fates").inner_text()
        page.locator("select").first.select_option(index=1)
        page.wait_for_selector("text=(rl4vlm)")
        assert page.locator(".fates li").count() == 1
        assert page.locator("table.study tbody tr").all_inner_texts()[0].startswith("rl4vlm-seed1")
        page.reload()
        page.wait_for_selector("text=(rl4vlm)")
        page.goto("about:blank")


def test_only_rows_in_view_are_in_the_page(page: Page, address: str) -> None:
    visit(page, address, "episodes")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.wait_for_function("document.querySelectorAll('.episodes tbody tr').length < 40")
    page.locator(".scroller").focus()
    page.keyboard.press("End")
    page.wait_for_selector(".episodes tbody tr.chosen:has-text('rl4vlm')")
    assert "rl4vlm" in rows(page)[-1]
    chosen = page.locator(".chosen").bounding_box()
    around = page.locator(".scroller").bounding_box()
    assert around["y"] < chosen["y"] < around["y"] + around["height"]


# -- keys alone ---------------------------------------------------------------------------------------------------
def test_everything_is_reached_by_keys_alone(page: Page, address: str) -> None:
    visit(page, address)
    page.keyboard.press("2")
    page.wait_for_selector(".episodes .chosen")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn-head")
    assert "episode 1:" in page.locator(".turn-head h2").inner_text()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".step:nth-child(2)[aria-current]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=episode 2:")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(".step:nth-child(2)[aria-current]")
    page.keyboard.press("j")
    page.wait_for_selector("text=episode 2:")
    page.keyboard.press("k")
    page.wait_for_selector("text=episode 1:")
    page.keyboard.press("c")
    page.wait_for_selector(".tokens[data-shade=ratio]")
    page.keyboard.press("Escape")
    page.wait_for_selector(".episodes .chosen")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    page.wait_for_selector(".sides .played")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")


# -- one turn -----------------------------------------------------------------------------------------------------
def test_a_turn_shows_what_was_said_about_it(page: Page, address: str) -> None:
    visit(page, address, "turn/0/0/0/0")
    assert page.locator(".rewrite ins").all_text_contents() == ["4 next "]
    assert page.locator(".answers .wrong").count() == 1
    assert page.locator(".stated tbody tr").count() == 3
    assert "0.8" in page.locator(".numbers").inner_text()
    titles = page.locator(".token").evaluate_all("all => all.map((one) => one.title)")
    assert titles == ["log p -0.5", "log p -0.25", "log p -2"]
    choose(page, "colour by", "ratio")
    titles = page.locator(".token").evaluate_all("all => all.map((one) => one.title)")
    assert titles == ["ratio 1.105", "ratio 0.779", "ratio 1"]
    choose(page, "colour by", "weight")
    assert "weight 0.5" in page.locator(".token").first.get_attribute("title")
    choose(page, "colour by", "cloning")
    assert page.locator(".tokens").inner_text().startswith("24")
    assert page.locator(".token").evaluate_all("all => all.map((one) => one.title)") == [
        "cloning 1",
        "cloning 0",
        "cloning 0",
    ]


def test_an_action_follows_in_any_case_and_spacing(page: Page, tmp_path: Path) -> None:
    """As `gtr.tasks.Task.same_action` has it by default."""
    write_run(tmp_path / "runs", "gtr-seed1", "gtr", updates=3)
    file = tmp_path / "runs" / "gtr-seed1" / "turns" / "update_00001.jsonl.gz"
    said = {"action": "STRASSE  Two", "implied": " Straße two"}, {"action": "2", "implied": "3"}
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    changed = [{**line, **said[line["turn"]]} for line in lines]
    file.write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in changed).encode()))
    with served(tmp_path / "runs") as found:
        visit(page, found, "turn/0/0/0/0")
        assert "so the action follows it." in page.locator("#view").inner_text()
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(".step:nth-child(2)[aria-current]")
        assert "the action does not follow it." in page.locator("#view").inner_text()


def test_two_agents_stand_side_by_side(page: Page, address: str) -> None:
    visit(page, address, "compare")
    heads = page.locator(".sides h3").all_inner_texts()
    assert heads == ["rl4vlm-seed1, update 5: lost", "gtr-seed1, update 5: won"]
    assert page.locator(".sides .played").count() == 4
    choose(page, "start states", "left")
    page.wait_for_selector("text=No start state is of this kind")
    choose(page, "start states", "right")
    page.wait_for_selector(".strip button:nth-child(4)")
    choose(page, "left", "0/0")
    page.wait_for_selector("text=gtr-seed1, before training: lost")


# -- what a model wrote -------------------------------------------------------------------------------------------
def test_what_a_model_wrote_never_runs(page: Page, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs, "rl4vlm-seed1", "rl4vlm", HOSTILE)
    write_run(runs, "gtr-seed1", "gtr", HOSTILE)
    file = tmp_path / "report.html"
    assert subprocess.run(gtr("show", runs, "--export", file)).returncode == 0
    with served(runs) as found:
        for place in (found, file.as_uri()):
            for view in VIEWS:
                visit(page, place, view)
                page.wait_for_timeout(300)
                page.evaluate("document.querySelectorAll('main details').forEach((one) => (one.open = true))")
                if view == "collapse":
                    page.locator(".chart .main-svg").first.wait_for()
                    page.locator(".chart .nsewdrag").first.hover()
                page.wait_for_timeout(200)
                assert page.evaluate("window.hacked") is None, view
                assert page.locator("main script, main img[src='x'], main a[href^=javascript]").count() == 0, view
            visit(page, place, "turn/0/0/0/0")
            text = page.locator("main").inner_text()
            assert "<script>window.hacked = 1</script>" in text
            for sign in ("␛[31mred", "U+202E", "U+2066", "U+200B", "U+FEFF", "U+E0041", "\ufffd", "␇"):
                assert sign in text, sign
            assert not {"\u202e", "\u2066", "\x1b"} & set(page.content())
    assert ANSI in HOSTILE


def test_a_script_put_into_the_page_is_refused(browser: Any, address: str) -> None:
    """The rules that the page comes with hold even if markup slipped through."""
    context = browser.new_context()
    page = context.new_page()
    visit(page, address)
    put = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 1\">')"
    page.evaluate(put)
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 2'}))")
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    context.close()


# -- the exported file --------------------------------------------------------------------------------------------
def test_an_exported_file_asks_for_nothing(page: Page, comparison: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    done = subprocess.run(gtr("show", comparison, "--export", file, "--turns", "40"), capture_output=True, text=True)
    assert "with 40 of 120 training turns" in done.stdout
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in VIEWS:
        visit(page, file.as_uri(), view)
        page.wait_for_timeout(200)
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert {url.partition("#")[0] for url in asked if url.startswith("file")} == {file.as_uri()}
    visit(page, file.as_uri(), "episodes")
    assert count(page) == "20 of 76 episodes"
    choose(page, "turns in this file", "")
    assert count(page) == "60 of 76 episodes"
    page.locator(".absent").first.click()
    page.wait_for_selector("text=does not hold the turns of this episode")


# -- while it trains, and after damage ----------------------------------------------------------------------------
def test_a_run_that_still_trains_is_followed(page: Page, tmp_path: Path) -> None:
    path = write_run(tmp_path)
    config = json.loads((path / "config.json").read_text())
    config["train"]["updates"] = 30
    (path / "config.json").write_text(json.dumps(config))
    with served(path) as found:
        visit(page, found, "episodes")
        assert count(page) == "18 of 26 episodes"
        assert page.locator("#status").inner_text() == "following gtr-seed1: update 3 of 30"
        with RunFolder.open(path) as folder:
            show_cases.write_update(folder, 4, "next 2", guided=True)
        page.wait_for_selector("text=24 of 32 episodes", timeout=PATIENCE)
        assert page.locator("#status").inner_text() == "following gtr-seed1: update 4 of 30"
        page.goto("about:blank")


def test_a_comparison_is_watched_from_before_its_first_run(page: Page, tmp_path: Path) -> None:
    """The same page shows what is done before there is a run, then each run as it begins."""
    (tmp_path / "comparison.json").write_text("{}")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "start.log").write_text(f"warm-up (stage 1 of 3)  step 25 {SCRIPT}\n")
    with served(tmp_path) as found:
        page.set_default_timeout(PATIENCE)
        page.goto(found)
        page.wait_for_selector("text=No run has begun yet")
        assert "step 25 <script>" in page.locator("pre").inner_text()
        (tmp_path / "logs" / "start.log").write_text("replies (stage 3 of 3)  step 40\n")
        page.wait_for_selector("text=step 40")
        write_run(tmp_path / "runs", "rl4vlm-seed1", "rl4vlm")
        page.wait_for_selector(".fates >> text=(rl4vlm)")
        write_run(tmp_path / "runs", "gtr-seed1")
        page.wait_for_selector(".fates >> text=(gtr)")
        assert page.locator(".fates li").count() == 2
        page.locator(".pair img").wait_for()
        assert page.evaluate("document.querySelector('.pair img').naturalWidth") == 64
        page.goto("about:blank")


def test_a_comparison_shows_its_table_and_figure(page: Page, tmp_path: Path) -> None:
    for seed in (1, 2):
        for method in ("rl4vlm", "gtr"):
            write_run(tmp_path / "runs", f"{method}-seed{seed}", method)
    for path in (tmp_path / "runs").iterdir():
        config = json.loads((path / "config.json").read_text())
        config |= {"seed": int(path.name[-1]), "name": HOSTILE}
        (path / "config.json").write_text(json.dumps(config))
    study = study_of(read_existing([tmp_path]), f"a title {HOSTILE}", ["gtr", "compare", HOSTILE])
    write(study, tmp_path)
    with served(tmp_path) as found:
        for place in (found, (tmp_path / "comparison.html").as_uri()):
            visit(page, place, "table")
            main = page.locator("main")
            text = main.inner_text()
            assert "gtr succeeds in 1.00 of the starts" in text
            assert "<script>window.hacked = 1</script>" in text
            assert main.locator("table.study").first.locator("tbody tr").count() == 3
            assert page.evaluate("document.querySelector('.drawn img').naturalWidth") > 300
            assert page.evaluate("window.hacked") is None
            page.keyboard.press("1")
            page.locator("main[data-view=overview]").wait_for()
            page.keyboard.press("6")
            page.locator("main[data-view=table]").wait_for()


def test_damage_is_said_and_the_rest_is_shown(browser: Any, tmp_path: Path) -> None:
    path = write_run(tmp_path)
    page = browser.new_context().new_page()
    file = path / "turns" / "update_00002.jsonl.gz"
    file.write_bytes(file.read_bytes()[:200])
    for picture in (path / "images").iterdir():
        picture.unlink()
    with served(path) as found:
        visit(page, found, "turn/0/0/0/0")
        page.locator("#troubles summary").click()
        said = page.locator("#troubles").inner_text()
        assert "update_00002.jsonl.gz: is cut off" in said
        assert "pictures that its turns name are missing" in said
        page.wait_for_selector(".missing")
    page.context.close()


def test_a_run_that_has_only_begun_says_what_to_expect(page: Page, tmp_path: Path) -> None:
    path = write_run(tmp_path)
    for name in ("turns", "evaluations", "probes", "images"):
        shutil.rmtree(path / name)
    (path / "metrics.jsonl").unlink()
    with served(path) as found:
        for view, words in {
            "overview": "Too early to tell",
            "episodes": "They appear after a run's first update",
            "turn": "No turn is chosen yet",
            "compare": "Two evaluations are needed",
            "collapse": "No matrix is stored for this run",
        }.items():
            visit(page, found, view)
            assert words in page.locator("main").inner_text()
        page.goto("about:blank")


# -- every width --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_is_wider_than_a_phone(browser: Any, address: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    for view in VIEWS:
        visit(page, address, view)
        page.wait_for_timeout(250)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(22, 22, 21)") == (scheme == "dark")
    context.close()
