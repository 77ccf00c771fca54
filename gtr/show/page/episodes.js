// The list of episodes: filters, order, and only as many rows in the page as can be seen.
import { choose } from "./address.js";
import { NO_FILTERS, OUTCOMES } from "./episodes-data.js";
import { choice, counted, h, labelled, plain, short } from "./text.js";

const ROW = 34; // Height of a row in pixels, as in the style sheet.
const SPARE = 8;
const COLUMNS = [
  ["run", "run", (row, app) => runName(app, row.run)],
  ["update", "update", (row) => (row.parts.length > 1 ? row.parts.join("–") : row.update)],
  ["episode", "episode", (row) => (row.played === "training" ? `${row.env}·${row.episode}` : `start ${row.episode + 1}`)],
  ["outcome", "outcome", (row) => OUTCOMES[row.outcome] ?? plain(row.outcome)],
  ["kind", "kind", (row) => plain(row.kind)],
  ["turns", "turns", (row) => row.turns],
  ["reward", "return", (row) => short(row.reward, 2)],
  ["surprise", "surprise", (row) => short(row.surprise, 3)],
  ["corrected", "corrected", (row) => (row.judged ? `${row.corrected} of ${row.judged}` : "–")],
  ["illegal", "illegal", (row) => row.illegal || "–"],
];

export function episodesView(app) {
  const state = app.list;
  const status = h("p", { class: "count", role: "status", "aria-live": "polite" });
  const body = h("tbody", {});
  const head = h("tr", {});
  const scroller = h("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": "Episodes; arrow keys choose, Enter opens" }, h("table", { class: "episodes" }, h("thead", {}, head), body));
  const table = { app, state, status, body, head, scroller };
  scroller.addEventListener("scroll", () => requestAnimationFrame(() => paint(table)), { passive: true });
  state.refresh = () => renew(table);
  state.key = (event) => keyed(table, event);
  let placed = false; // Only what is laid out can be scrolled.
  new ResizeObserver(() => {
    paint(table);
    if (!placed && scroller.clientHeight) placed = show(table);
  }).observe(scroller);
  queueMicrotask(() => renew(table));
  return [h("h2", { class: "sr" }, "Episodes"), filterBar(app, table), status, scroller];
}

function columns(app) {
  return COLUMNS.filter(([key]) => (key !== "kind" || app.episodes.kinds.size > 0) && (key !== "run" || app.overview.runs.length > 1));
}

function runName(app, id) {
  return h("span", { class: "run" }, h("span", { class: "swatch", style: `background:${app.runColour(app.overview.runs[id])}` }), plain(app.overview.runs[id].name));
}

/** The titles: each sorts by its column, and again the other way round. */
function titles({ app, head, state, scroller }) {
  const { sort, down } = app.filters();
  head.replaceChildren(
    ...columns(app).map(([key, text]) => {
      const order = sort !== key ? "none" : down ? "descending" : "ascending";
      const click = () => {
        choose("down", sort === key && !down ? "yes" : "");
        choose("sort", key, NO_FILTERS.sort);
        [state.rows, state.at, scroller.scrollTop] = [[], 0, 0]; // Another order begins at its top.
        state.refresh();
        head.querySelector(`[data-key=${key}]`)?.focus();
      };
      return h("th", { scope: "col", "aria-sort": order }, h("button", { type: "button", "data-key": key, click }, `${text}${{ none: "", ascending: " ▲", descending: " ▼" }[order]}`));
    }),
  );
}

// -- filters -----------------------------------------------------------------------------------------------------

function filterBar(app, table) {
  const filters = app.filters();
  const set = (name) => (value) => {
    choose(name, value, app.defaults()[name]);
    renew(table);
    if (app.pointed) table.scroller.focus({ preventScroll: true }); // So that arrow keys walk the list that was asked for.
  };
  const yes = [["", "any"], ["yes", "yes"], ["no", "no"]];
  const bound = (name, text) => h("input", { type: "number", min: 0, inputmode: "numeric", value: filters[name], placeholder: text, input: (event) => { choose(name, event.target.value); renew(table); } });
  const runs = app.overview.runs.map((run) => [run.id, run.name]);
  const kinds = [...app.episodes.kinds].sort().map((kind) => [kind, kind]);
  let waiting = 0;
  const asked = (event) => { clearTimeout(waiting); waiting = setTimeout(() => { choose("text", event.target.value.trim().slice(0, 200)); renew(table); }, 300); };
  return h(
    "form",
    { class: "filters", "aria-label": "Filters", submit: (event) => event.preventDefault() },
    labelled("replies that say", h("input", { type: "search", value: filters.text, placeholder: "any text", input: asked })),
    labelled("played in", choice([["", "both"], ["training", "training"], ["evaluation", "evaluation"]], filters.played, set("played"))),
    runs.length > 1 ? labelled("run", choice([["", "all"], ...runs], filters.run, set("run"))) : null,
    labelled("outcome", choice([["", "any"], ...Object.entries(OUTCOMES)], filters.outcome, set("outcome"))),
    kinds.length ? labelled("task kind", choice([["", "any"], ...kinds], filters.kind, set("kind"))) : null,
    labelled("updates from", bound("from", "first")),
    labelled("to", bound("to", "last")),
    labelled("alarm ringing", choice(yes, filters.alarm, set("alarm"))),
    labelled("corrected", choice(yes, filters.corrected, set("corrected"))),
    app.data.exported ? labelled("turns in this file", choice([["", "any"], ["yes", "yes"]], filters.kept, set("kept"))) : null,
    h("button", { type: "button", click: () => { Object.entries(app.defaults()).forEach(([name, value]) => choose(name, value, value)); app.show().then(() => document.querySelector(".scroller")?.focus()); } }, "Clear"),
  );
}

/** Filters anew; the row that was chosen stays chosen where it still passes. */
function renew(table) {
  const { state, app } = table;
  const chosenRow = state.rows?.[state.at];
  titles(table);
  state.rows = app.chosenRows();
  state.at = Math.max(0, chosenRow ? state.rows.indexOf(chosenRow) : 0);
  const all = app.episodes.rows.length;
  const reading = app.loading || app.searching ? " (still reading)" : "";
  table.status.textContent = all
    ? `${state.rows.length.toLocaleString("en")} of ${counted(all, "episode")}${reading}`
    : app.loading ? "Reading…" : "No turns are stored here yet. They appear after a run's first update (report.turns_every sets how often).";
  if (all && !state.rows.length && !reading) table.status.append(" No episode passes these filters: clear some.");
  paint(table);
}

/** Brings the chosen row into view: where one was before one looked at a turn. */
function show(table) {
  const { state, scroller } = table;
  const top = state.at * ROW;
  if (top < scroller.scrollTop || top + 2 * ROW > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top - scroller.clientHeight / 2;
  paint(table);
  return true;
}

// -- rows --------------------------------------------------------------------------------------------------------

/** Puts the rows in view into the page, between two empty rows as high as those above and below. */
function paint(table) {
  const { state, body, scroller, app } = table;
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - SPARE);
  const last = Math.min(state.rows.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW) + SPARE);
  const shown = columns(app);
  const rows = [];
  for (let i = first; i < last; i++) rows.push(rowOf(table, i, shown));
  body.replaceChildren(spacer(first * ROW, shown.length), ...rows, spacer((state.rows.length - last) * ROW, shown.length));
}

function spacer(height, width) {
  return h("tr", { class: "spacer", "aria-hidden": "true", style: `height:${height}px` }, h("td", { colspan: width }));
}

function rowOf(table, i, shown) {
  const { state, app } = table;
  const row = state.rows[i];
  const classes = [`outcome-${row.outcome}`, i === state.at ? "chosen" : "", row.alarm ? "alarm" : "", row.kept ? "" : "absent"];
  const open = () => { state.at = i; app.openEpisode(row); };
  return h("tr", { class: classes.join(" "), "aria-selected": i === state.at ? "true" : null, click: open }, shown.map(([key, , cell]) => h("td", { class: key }, cell(row, app))));
}

function keyed(table, event) {
  const { state, scroller, app } = table;
  const page = Math.max(1, Math.floor(scroller.clientHeight / ROW) - 2);
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
  if (step !== undefined) {
    event.preventDefault();
    state.at = Math.max(0, Math.min(state.rows.length - 1, state.at + step));
    const top = state.at * ROW;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    if (top + 2 * ROW > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + 2 * ROW - scroller.clientHeight;
    paint(table);
  } else if (event.key === "Enter" && state.rows[state.at]) {
    event.preventDefault();
    app.openEpisode(state.rows[state.at]);
  }
}
