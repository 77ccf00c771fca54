// A comparison's own table: every agent's success and thought health, in what the runs were not alike, the figure.
import { h, plain } from "./text.js";

// Columns of the second table: two that fit a screen are read more easily than one that does not.
const MEASURED = new Set(["return", "length", "perception", "start plan", "right", "follows", "self-BLEU-2", "turns", "tokens", "gradient tokens", "teacher tokens", "minutes", "dollars"]);
const TITLES = ["success of agents", "thoughts of agents, and what runs took"];

export async function tableView(app) {
  const study = app.overview.study ? await app.data.get("study") : null;
  if (!study) return [h("p", { class: "note" }, "These runs come without a table: gtr compare makes one, of runs that exist too (--from).")];
  return [
    h("section", {}, h("h2", {}, plain(study.title)), h("ul", { class: "told" }, study.answers.map((answer) => h("li", {}, plain(answer)))), doubts(study)),
    ...[(name) => !MEASURED.has(name), (name) => MEASURED.has(name) || name === study.columns[0]].map((belongs, i) => wide(TITLES[i], columns(study, belongs))),
    h("p", { class: "quiet" }, plain(study.footnote)),
    study.figure ? h("figure", { class: "card drawn" }, h("img", { src: study.figure, alt: "Curves over training, one line per method" }), h("figcaption", { class: "quiet" }, "Lines are means over seeds, bands reach from the worst to the best seed. Success is measured on the fixed panel, the rest over the turns of training. table.tex, table.csv and the figures as PDF lie beside this page.")) : null,
    h("h3", {}, "Settings and runs"),
    study.differ.length ? wide("settings that differ", rows(["settings that differ", ...study.methods], study.differ)) : null,
    h("p", {}, "To make this again:"),
    h("pre", { class: "model" }, plain(study.command)),
    ...study.runs.map(([name = "", reached = "", folder = "", made = ""]) => h("details", {}, h("summary", {}, `${plain(name)}: ${plain(reached)}`), h("pre", { class: "model" }, plain([folder, made].filter(Boolean).join("\n"))))),
  ];
}

function doubts(study) {
  if (!study.doubts.length) return h("p", { class: "quiet" }, "All runs: the same game, panel, starting agent, number of turns, seeds and code.");
  return h("div", { class: "note" }, h("strong", {}, "Not alike. "), "Read the table with this in mind:", h("ul", { class: "told" }, study.doubts.map((doubt) => h("li", {}, plain(doubt)))));
}

function wide(label, table) {
  return h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": label }, table);
}

/** The study's rows with some of its columns. */
function columns(study, belongs) {
  const own = (line) => line.filter((_, i) => belongs(study.columns[i]));
  return rows(own(study.columns), study.rows.map(own));
}

/** Rows under titles, the first cell of each its name. */
function rows(titles, cells) {
  const head = h("tr", {}, titles.map((title) => h("th", { scope: "col" }, plain(title))));
  const line = ([name = "", ...values]) => h("tr", {}, h("th", { scope: "row" }, plain(name)), values.map((value) => h("td", {}, plain(value))));
  return h("table", { class: "study" }, h("thead", {}, head), h("tbody", {}, cells.map(line)));
}
