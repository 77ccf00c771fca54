// The list of episodes: filters, order, and only as many rows in the page as can be seen.
import { NO_FILTERS, OUTCOMES } from "./episodes-data.js";
import { choice, counted, h, labelled, plain, short } from "./text.js";

const ROW = 34; // Height of a row in pixels, as in the style sheet.
const SPARE = 8;
const COLUMNS = [
  ["run", "run", (row, app) => runName(app, row.run)],
  ["update", "update", (row) => (row.parts.length > 1 ? row.parts.join("–") : row.update)],
  ["episode", "episode", (row) => `${row.env}·${row.episode}`],
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
  const head = h("tr", {}, columns(app).map((column) => h("th", { scope: "col" }, column[1])));
  const body = h("tbody", {});
  const scroller = h("div", { class: "scroller", tabindex: 0, role: "group", "aria-label": "Episodes; arrow keys choose, Enter opens" }, h("table", { class: "episodes" }, h("thead", {}, head), body));
  const table = { app, state, status, body, scroller };
  scroller.addEventListener("scroll", () => requestAnimationFrame(() => paint(table)), { passive: true });
  scroller.addEventListener("keydown", (event) => keyed(table, event));
  state.refresh = () => renew(table);
  new ResizeObserver(() => paint(table)).observe(scroller);
  queueMicrotask(() => renew(table));
  return [h("h2", { class: "sr" }, "Episodes"), filterBar(app, table), status, scroller];
}

function columns(app) {
  return COLUMNS.filter(([key]) => (key !== "kind" || app.episodes.kinds.size > 0) && (key !== "run" || app.overview.runs.length > 1));
}

function runName(app, id) {
  return h("span", { class: "run" }, h("span", { class: "swatch", style: `background:${app.runColour(app.overview.runs[id])}` }), plain(app.overview.runs[id].name));
}

// -- filters -----------------------------------------------------------------------------------------------------

function filterBar(app, table) {
  const filters = app.list.filters;
  const set = (name) => (value) => {
    filters[name] = value;
    renew(table);
  };
  const yes = [["", "any"], ["yes", "yes"], ["no", "no"]];
  const bound = (name, text) => h("input", { type: "number", min: 0, inputmode: "numeric", value: filters[name], placeholder: text, input: (event) => set(name)(event.target.value) });
  const runs = app.overview.runs.map((run) => [run.id, run.name]);
  const kinds = [...app.episodes.kinds].sort().map((kind) => [kind, kind]);
  const orders = [["update", "update"], ["reward", "return"], ["turns", "length"], ["surprise", "surprise"], ["corrected", "corrections"]];
  return h(
    "form",
    { class: "filters", "aria-label": "Filters", submit: (event) => event.preventDefault() },
    runs.length > 1 ? labelled("run", choice([["", "all"], ...runs], filters.run, set("run"))) : null,
    labelled("outcome", choice([["", "any"], ...Object.entries(OUTCOMES)], filters.outcome, set("outcome"))),
    kinds.length ? labelled("task kind", choice([["", "any"], ...kinds], filters.kind, set("kind"))) : null,
    labelled("updates from", bound("from", "first")),
    labelled("to", bound("to", "last")),
    labelled("alarm ringing", choice(yes, filters.alarm, set("alarm"))),
    labelled("corrected", choice(yes, filters.corrected, set("corrected"))),
    app.data.exported ? labelled("turns in this file", choice([["", "any"], ["yes", "yes"]], filters.kept, set("kept"))) : null,
    labelled("sort by", choice(orders, filters.sort, set("sort"))),
    labelled("order", choice([["", "smallest first"], ["yes", "largest first"]], filters.down, set("down"))),
    h("button", { type: "button", click: () => { Object.assign(filters, NO_FILTERS, { kept: app.data.exported ? "yes" : "" }); app.show(); } }, "Clear"),
  );
}

/** Filters anew; the row that was chosen stays chosen where it still passes. */
function renew(table) {
  const { state, app } = table;
  const chosen = state.rows?.[state.at];
  state.rows = app.episodes.chosen(state.filters);
  state.at = Math.max(0, chosen ? state.rows.indexOf(chosen) : 0);
  const all = app.episodes.rows.length;
  const reading = app.loading ? " (still reading)" : "";
  table.status.textContent = all
    ? `${state.rows.length.toLocaleString("en")} of ${counted(all, "episode")}${reading}`
    : app.loading ? "Reading…" : "No turns are stored here yet. They appear after a run's first update (report.turns_every sets how often).";
  if (all && !state.rows.length) table.status.append(" No episode passes these filters: clear some.");
  paint(table);
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
    event.stopPropagation();
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
