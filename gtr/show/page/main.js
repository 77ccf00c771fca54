// The page itself: which view is shown, what the keys do, and how a run that still trains is followed.
import { addressOf, choose, chosen, readAddress } from "./address.js";
import { methodColour, methodsOf } from "./charts.js";
import { collapseView } from "./collapse.js";
import { compareView } from "./compare.js";
import { openData } from "./data.js";
import { Episodes, NO_FILTERS } from "./episodes-data.js";
import { episodesView } from "./episodes.js";
import { overviewView } from "./overview.js";
import { tableView } from "./table.js";
import { choice, counted, h, labelled, plain } from "./text.js";
import { SHADES, turnView } from "./turn.js";

const VIEWS = { overview: overviewView, episodes: episodesView, turn: turnView, compare: compareView, collapse: collapseView, table: tableView };
const POLL = 4000; // Milliseconds between looks at a run folder.

const app = {
  episodes: new Episodes(),
  hidden: new Set(),
  opened: new Set(),
  closed: new Set(),
  list: { rows: [], at: 0 },
  found: { text: "", places: new Set() },
  at: null,
  shade: "logprob",
  loading: true,

  /** The runs laid beside one another; those that are not comparable with them stand in other groups. */
  group: () => app.overview.groups.find((one) => one.name === chosen("group")) ?? app.overview.groups[0],
  runs: (group = app.group()) => group.runs.map((id) => app.overview.runs[id]),

  /** The colour of a run's method among those of its group. */
  runColour(run) {
    const group = app.overview.groups.find((one) => one.runs.includes(run.id));
    return methodColour(methodsOf(app.runs(group)).find((one) => one.name === run.method).slot);
  },

  groupPicker() {
    const names = app.overview.groups.map((one) => [one.name, `${one.name} (${counted(one.runs.length, "run")})`]);
    if (names.length < 2) return null;
    return labelled("runs that can be compared", choice(names, app.group().name, (name) => { choose("group", name, names[0][0]); app.sides = null; app.show(); }));
  },

  toggle(method) {
    if (!app.hidden.delete(method)) app.hidden.add(method);
    app.show("keep");
  },

  // -- which episodes ------------------------------------------------------------------------------------------
  defaults: () => ({ ...NO_FILTERS, kept: app.data.exported ? "yes" : "", played: app.overview.runs.some((run) => run.with_turns.length) ? "training" : "" }),
  filters: () => Object.fromEntries(Object.entries(app.defaults()).map(([name, value]) => [name, chosen(name, value)])),

  chosenRows() {
    const filters = app.filters();
    if (filters.text !== app.found.text) app.search(filters.text);
    return app.episodes.chosen(filters, app.found.places);
  },

  /** Looks for a text in all replies, showing what is found as it is found. */
  async search(text) {
    const found = (app.found = { text, places: new Set() });
    app.searching = text !== "";
    for (const run of text ? app.overview.runs : []) {
      for (let after = -1, more = true; more && app.found === found; ) {
        const answer = app.data.exported ? { found: app.data.search(run.id, text), done: true } : await app.data.get("search", run.id, after, encodeURIComponent(text));
        for (const [env, episode] of answer.found) found.places.add(`${run.id}/${env}/${episode}`);
        [after, more] = [answer.next, !answer.done];
        if (app.view === "episodes") app.list.refresh?.();
      }
    }
    if (app.found !== found) return;
    app.searching = false;
    if (app.view === "episodes") app.list.refresh?.();
  },

  // -- going about ----------------------------------------------------------------------------------------------
  go(view, ...place) {
    const hash = addressOf(["#", view, ...place].join("/"));
    if (location.hash === hash) app.show();
    else location.hash = hash;
  },

  openEpisode(row, turn = 0) {
    app.go("turn", row.run, row.env, row.episode, turn);
  },

  goTurn(turn) {
    history.replaceState(null, "", addressOf(`#/turn/${app.at.run}/${app.at.env}/${app.at.episode}/${turn}`));
    app.at.turn = turn;
    app.show("keep");
  },

  async stepTurn(step) {
    if (!app.at) return;
    const row = app.episodes.find(app.at.run, app.at.env, app.at.episode);
    const next = app.at.turn + step;
    if (row && next >= 0 && next < (await app.turnsOf(row)).length) app.goTurn(next);
    else app.stepEpisode(step, step < 0 ? Infinity : 0);
  },

  stepEpisode(step, turn = 0) {
    const rows = app.list.rows.length ? app.list.rows : (app.list.rows = app.chosenRows());
    const here = app.at ? rows.indexOf(app.episodes.find(app.at.run, app.at.env, app.at.episode)) : -1;
    const next = here + step;
    if (next < 0 || next >= rows.length) return;
    app.list.at = next;
    app.openEpisode(rows[next], turn === Infinity ? rows[next].turns - 1 : turn);
  },

  setShade(shade) {
    app.shade = shade;
    app.show("keep");
  },

  async turnsOf(row) {
    if (row.played === "evaluation") return (await app.data.get("play", row.run, row.update, row.episode)) ?? [];
    const parts = await Promise.all(row.parts.map((update) => app.data.get("turns", row.run, update, row.env, row.episode)));
    return parts.flatMap((part) => part ?? []).sort((a, b) => a.turn - b.turn);
  },

  // -- drawing --------------------------------------------------------------------------------------------------
  async show(keep) {
    const { view, place, path } = readAddress();
    const name = VIEWS[view] ? view : "overview";
    if (name === "turn" && place.length >= 3) {
      const [run, env, episode, turn = 0] = place;
      app.at = { run: Number(run), env, episode: Number(episode), turn: Number(turn) };
    }
    for (const link of document.querySelectorAll("nav a[data-view]")) {
      link.href = addressOf(`#/${link.dataset.view}`);
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const drawing = (app.drawing = {});
    const place_ = document.getElementById("view");
    delete place_.dataset.drawn;
    const focus = document.activeElement?.getAttribute("aria-label") ?? null;
    let parts;
    try {
      parts = app.overview.runs.length ? await VIEWS[name](app) : waiting();
    } catch (error) {
      parts = [h("p", { class: "note" }, `This view cannot be drawn: ${plain(error.message)}. Is gtr show still running?`)];
    }
    if (app.drawing !== drawing) return;
    const top = scrollY;
    place_.dataset.view = name;
    place_.replaceChildren(...parts.filter(Boolean));
    scrollTo(0, keep ? top : 0);
    if (keep && focus) place_.querySelector(`[aria-label="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
    app.view = name;
    place_.dataset.drawn = path;
  },

  head() {
    const { runs, title } = app.overview;
    document.getElementById("title").textContent = plain(title);
    document.querySelector('[data-view="table"]').hidden = !app.overview.study;
    document.title = `${plain(title)} – gtr`;
    const going = runs.filter((run) => run.goes_on);
    const words = going.map((run) => `${run.name}: update ${run.done} of ${run.total}`).join("; ");
    document.getElementById("status").textContent = app.data.exported ? `an exported file with ${app.overview.taken.toLocaleString("en")} of ${counted(app.overview.all, "training turn")}` : going.length ? `following ${going.length > 2 ? counted(going.length, "run") : plain(words)}` : runs.every((run) => run.only_played) && runs.length ? counted(runs.length, "evaluation") : `${counted(runs.length, "run")}, none of them training`;
    troubles(runs);
  },
};

/** What is done before there is a run to look at. */
function waiting() {
  return [h("section", {}, h("h2", { id: "headline" }, "No run has begun yet"), h("p", { class: "what" }, "First the agent is made that all runs start from. The runs appear here by themselves.")), h("pre", { class: "model" }, plain(app.overview.doing.join("\n") || "…"))];
}

/** What could not be read, of every run, above whatever view is open. */
function troubles(runs) {
  const items = runs.flatMap((run) => [...run.problems, ...run.notes].map((problem) => h("li", {}, h("strong", {}, `${plain(run.name)}: `), plain(problem))));
  const place = document.getElementById("troubles");
  place.hidden = !items.length;
  place.replaceChildren(h("details", {}, h("summary", {}, `${counted(items.length, "thing")} could not be read or done`), h("ul", {}, items)));
}

// -- reading and following ---------------------------------------------------------------------------------------

/** Reads the episodes of all runs, part by part, showing them as they come. */
async function readEpisodes() {
  app.loading = true;
  for (const run of app.overview.runs) {
    const ringing = new Set(run.updates.filter((_, i) => (run.series["alarm/ringing"] ?? [])[i] > 0));
    let after = Math.max(-1, ...run.with_turns.filter((update) => app.episodes.thoughts.has(`${run.id}/${update}`)));
    for (let more = true; more; ) {
      const answer = await app.data.get("parts", run.id, after);
      if (!answer) break;
      const kept = answer.kept ? new Set(answer.kept) : null;
      for (const part of answer.parts) app.episodes.add(run.id, part.update, part.columns, part.thoughts, ringing.has(part.update), kept);
      run.problems = answer.problems;
      more = !answer.done;
      after = answer.next;
      if (app.view === "episodes") app.list.refresh?.();
    }
  }
  for (const run of app.overview.runs.filter((one) => one.panel.length)) {
    for (const part of (await app.data.get("panels", run.id)) ?? []) app.episodes.add(run.id, part.update, part.columns, null, false, part.kept ? new Set(part.kept) : null);
  }
  app.found.text = null; // What was read since must be searched too.
  app.loading = false;
  troubles(app.overview.runs);
  if (["episodes", "collapse", "turn"].includes(app.view)) app.view === "episodes" ? app.list.refresh?.() : await app.show("keep");
}

/** Looks again and again whether a run has written more; a busy person's place is left alone. */
async function follow() {
  const version = (await (await fetch("api/version")).json()).version;
  if (version !== app.overview.version) {
    const started = app.overview.runs.length > 0;
    app.data.forget();
    app.overview = await app.data.get("overview");
    if (app.overview.runs.some((run) => run.with_turns.length < [...app.episodes.thoughts.keys()].filter((key) => key.startsWith(`${run.id}/`)).length)) app.episodes.clear();
    app.head();
    if (app.view === "overview" || !started) await app.show("keep");
    await readEpisodes();
  }
}

function keepFollowing() {
  setTimeout(async () => {
    try {
      if (!document.hidden && !app.loading) await follow();
    } catch {
      document.getElementById("status").textContent = "gtr show has stopped; this is what it showed last";
    }
    keepFollowing();
  }, POLL);
}

// -- keys --------------------------------------------------------------------------------------------------------

function keyed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById("help").open) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
  if (event.key === "Escape" && typing) event.target.blur(), toList();
  if (typing) return;
  if (app.view === "episodes" && !event.target.closest("button, a, summary")) app.list.key?.(event);
  if (event.defaultPrevented) return;
  const inTurn = app.view === "turn";
  const keys = {
    "?": () => document.getElementById("help").showModal(),
    "/": () => document.querySelector(".filters select, .filters input")?.focus(),
    Escape: () => (inTurn ? app.go("episodes") : toList()),
    c: () => inTurn && app.setShade(SHADES[(SHADES.findIndex(([name]) => name === app.shade) + 1) % SHADES.length][0]),
    ArrowLeft: () => inTurn && app.stepTurn(-1),
    ArrowRight: () => inTurn && app.stepTurn(1),
    h: () => inTurn && app.stepTurn(-1),
    l: () => inTurn && app.stepTurn(1),
    ArrowUp: () => inTurn && app.stepEpisode(-1),
    ArrowDown: () => inTurn && app.stepEpisode(1),
    k: () => inTurn && app.stepEpisode(-1),
    j: () => inTurn && app.stepEpisode(1),
  };
  Object.keys(VIEWS).forEach((view, i) => (keys[i + 1] = () => app.go(view)));
  const moves = inTurn && event.key.startsWith("Arrow");
  if (keys[event.key]) {
    if (moves || event.key === "/") event.preventDefault();
    keys[event.key]();
  }
}

/** Puts the keys onto the list of episodes. */
function toList() {
  document.querySelector(".scroller")?.focus({ preventScroll: true });
}

async function start() {
  addEventListener("hashchange", async () => {
    await app.show();
    if (app.view === "episodes") toList();
  });
  addEventListener("keydown", (event) => { app.pointed = false; keyed(event); });
  addEventListener("pointerdown", () => (app.pointed = true), true);
  document.getElementById("keys").addEventListener("click", () => document.getElementById("help").showModal());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.show("keep"));
  try {
    app.data = await openData();
    app.overview = await app.data.get("overview");
  } catch (error) {
    document.getElementById("view").replaceChildren(h("p", { class: "note" }, `The run could not be read: ${plain(error.message)}`));
    return;
  }
  app.head();
  await app.show();
  performance.mark("gtr-first-view");
  document.body.dataset.state = "shown";
  await readEpisodes();
  performance.mark("gtr-all-read");
  document.body.dataset.state = "read";
  if (!app.data.exported) {
    await follow().catch(() => {});
    keepFollowing();
  }
}

start();
