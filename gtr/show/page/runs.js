// The runs as a table: how far, how fast, how good; its columns, and its order, are chosen and stand in the address.
import { choose, chosen } from "./address.js";
import { h, labelled, plain, short } from "./text.js";

// Of each its value, by which the table is ordered, and how it is written.
const FACTS = new Map([
  ["run", [(run) => run.name, plain]],
  ["update", [(run) => (run.only_played ? null : run.done), (value, run) => `${value} of ${run.total}`]],
  ["time left", [(run) => run.facts.left, (value) => `about ${duration(value)}`]],
  ["turns/s", [(run) => run.facts.turns_per_second, (value) => short(value, 1)]],
  ["games won (95 %)", [(run) => (run.panel.at(-1)?.interval ? run.panel.at(-1).success : null), (value, run) => `${value.toFixed(2)} (${run.panel.at(-1).interval.map((one) => one.toFixed(2)).join("–")})`]],
  ["policy loss", [(run) => last(run, "loss/policy"), (value) => short(value)]],
  ["cloning loss", [(run) => last(run, "loss/cloning"), (value) => short(value)]],
  ["code", [(run) => [run.facts.gtr, run.facts.code].filter(Boolean).join(", ") || null, plain]],
  ["machine", [(run) => run.facts.machine || null, plain]],
]);

export function runsTable(app) {
  const runs = app.runs();
  const names = columnsOf(runs);
  const head = h("tr", {}, names.map((name) => title(app, names, name)));
  const lines = ordered(runs).map((run) => h("tr", {}, names.map((name) => h(name === "run" ? "th" : "td", name === "run" ? { scope: "row" } : {}, cell(run, name)))));
  const settings = runs.map((run) => h("details", {}, h("summary", {}, `All settings of ${plain(run.name)}`), h("pre", { class: "model" }, plain(Object.entries(run.facts.settings).map(([key, value]) => `${key} ${value}`).join("\n")))));
  const open = app.opened.has("runs") || chosen("columns") !== "" || (runs.length <= 4 && !app.closed.has("runs"));
  const section = h("details", { class: "group", open }, h("summary", {}, h("h3", {}, "Runs"), h("small", {}, "how far, how fast, from which code, with which settings")), adding(app, runs, names), h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "runs" }, h("table", { class: "study" }, h("thead", {}, head), h("tbody", {}, lines))), settings);
  section.addEventListener("toggle", () => {
    app[section.open ? "opened" : "closed"].add("runs");
    app[section.open ? "closed" : "opened"].delete("runs");
  });
  return section;
}

// -- which columns, in which order --------------------------------------------------------------------------------

/** The chosen columns; without a choice, the facts that are known of any run. */
function columnsOf(runs) {
  if (chosen("columns")) return ["run", ...chosen("columns").split(",").map(decodeURIComponent)];
  return [...FACTS.keys()].filter((name) => runs.some((run) => valueOf(run, name) !== null));
}

function chooseColumns(app, names) {
  const others = names.filter((name) => name !== "run");
  choose("columns", others.map(encodeURIComponent).join(","));
  app.show("keep");
}

function ordered(runs) {
  const [by, sign] = [chosen("by"), chosen("falling") ? -1 : 1];
  if (!by) return runs;
  const unknown = (value) => value === null || value === undefined;
  return [...runs].sort((a, b) => {
    const [x, y] = [a, b].map((run) => valueOf(run, by));
    if (unknown(x) || unknown(y)) return unknown(x) - unknown(y); // What is not known comes last, either way.
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
  });
}

function title(app, names, name) {
  const order = chosen("by") !== name ? "none" : chosen("falling") ? "descending" : "ascending";
  const sort = () => {
    choose("falling", order === "ascending" ? "yes" : "");
    choose("by", name);
    app.show("keep");
  };
  const drop = h("button", { type: "button", class: "drop", "aria-label": `remove the column ${plain(name)}`, click: () => chooseColumns(app, names.filter((one) => one !== name)) }, "×");
  return h("th", { scope: "col", "aria-sort": order }, h("button", { type: "button", "aria-label": `order by ${plain(name)}`, click: sort }, `${plain(name)}${{ none: "", ascending: " ▲", descending: " ▼" }[order]}`), name === "run" || names.length < 3 ? null : drop);
}

/** A drop-down of what may become a column. */
function adding(app, runs, names) {
  const settings = Object.keys(runs[0].facts.settings);
  const differ = settings.filter((key) => new Set(runs.map((run) => run.facts.settings[key])).size > 1);
  const offered = { "about the runs": [...FACTS.keys()], "settings that differ": differ, "all settings": settings, "metrics, as last measured": Object.keys(app.overview.metrics) };
  const groups = Object.entries(offered).map(([label, keys]) => [label, keys.filter((key) => !names.includes(key))]);
  const options = groups.filter(([, keys]) => keys.length).map(([label, keys]) => h("optgroup", { label }, keys.map((key) => h("option", { value: key }, plain(key)))));
  return h("form", { class: "filters", submit: (event) => event.preventDefault() }, labelled("add a column", h("select", { "aria-label": "add a column", change: (event) => chooseColumns(app, [...names, event.target.value]) }, h("option", { value: "" }, "…"), options)), chosen("columns") ? h("button", { type: "button", "aria-label": "usual columns", click: () => chooseColumns(app, []) }, "Usual columns") : null);
}

// -- what stands in them ------------------------------------------------------------------------------------------

/** A fact, a setting, or a metric as last measured; null where it is not known. */
function valueOf(run, name) {
  if (FACTS.has(name)) return FACTS.get(name)[0](run) ?? null;
  if (name in run.facts.settings) return run.facts.settings[name];
  return (name === "panel/success" ? run.panel.at(-1)?.success : last(run, name)) ?? null;
}

function cell(run, name) {
  const value = valueOf(run, name);
  if (value === null) return "–";
  if (FACTS.has(name)) return FACTS.get(name)[1](value, run);
  return typeof value === "number" && !(name in run.facts.settings) ? short(value) : plain(value);
}

function duration(seconds) {
  return seconds < 90 ? `${seconds} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function last(run, metric) {
  return (run.series[metric] ?? []).filter((value) => value !== null).at(-1) ?? null;
}
