// The first view: what happened in plain words, one thought before and after, the telling curves, then all of them.
import { curveBar, lookOf } from "./axis.js";
import { curveCard, methodColour, methodsOf } from "./charts.js";
import { runsTable } from "./runs.js";
import { counted, h, plain, short, visible, worded } from "./text.js";

const TELLING = [
  ["thought/perception", "Thoughts say truly what the picture shows"],
  ["thought/start_plan", "The first thought's plan works"],
];
const GROUPS = [
  ["Success and return", ["panel/success", "episode/"]],
  ["Thought health", ["thought/", "distinct/", "relevance/", "reflection/"]],
  ["Replies and actions", ["reply/", "action/"]],
  ["Losses and the update", ["loss/", "update/", "policy/"]],
  ["Guidance", ["guidance/", "corrector/"]],
  ["On the fixed panel", ["panel/"]],
  ["Alarm and time", ["alarm/", "seconds/"]],
  ["Everything else", [""]],
];

export function overviewView(app) {
  const { story, pair } = app.group();
  const runs = app.runs();
  const methods = methodsOf(runs).filter((method) => !app.hidden.has(method.name));
  return [
    app.groupPicker(),
    h("section", { class: "story", "aria-labelledby": "headline" }, h("h2", { id: "headline" }, story.headline), h("p", { class: "what" }, story.what), h("ul", { class: "fates" }, story.sentences.map((one) => fate(app, one)))),
    legend(app),
    runsTable(app),
    curveBar(lookOf(runs), () => app.show("keep")),
    h("section", { "aria-label": "The telling curves", class: "cards telling" }, telling(app, methods)),
    pair ? pairFigure(app, pair) : noPair(runs),
    ...groups(app, methods),
  ];
}

function fate(app, sentence) {
  return h("li", { class: sentence.fate }, h("span", { class: "swatch", style: `background:${app.runColour(app.runs().find((run) => run.method === sentence.method))}` }), h("span", {}, plain(sentence.text)));
}

// -- one start state, before and after ---------------------------------------------------------------------------

function pairFigure(app, pair) {
  const image = h("img", { class: "pixels", src: app.data.image(pair.run, pair.image), alt: "The picture that the agent sees", width: 192, height: 192 });
  image.addEventListener("error", () => image.replaceWith(missingPicture()));
  const cells = pair.cells.map((cell) => pairCell(app, cell, pair.questions, counted(pair.of, "start")));
  return h(
    "figure",
    { class: "pair" },
    h("figcaption", {}, h("h3", {}, "The same picture, before and after training"), h("p", { class: "quiet" }, `Start state ${pair.number + 1} of the ${pair.of} on the fixed panel, played greedily. ${pair.chosen} The Compare view has the others too.`)),
    h("div", { class: "pair-body" }, h("div", { class: "pair-image" }, image), h("div", { class: "pair-cells" }, cells)),
  );
}

function pairCell(app, cell, questions, of) {
  const name = cell.method ? [h("span", { class: "swatch", style: `background:${app.runColour(app.runs().find((run) => run.method === cell.method))}` }), `${cell.method} `] : [];
  const kind = cell.method === null ? "" : cell.guided ? "guided" : "outcome only";
  return h(
    "article",
    { class: "cell" },
    h("h4", {}, name, h("small", {}, [kind, cell.when].filter(Boolean).join(", "))),
    thoughtLines(cell),
    checkList(cell.checks, questions),
    h("p", { class: cell.won ? "right" : "wrong" }, `${cell.won ? "✓ wins" : "✗ does not win"} from here, and wins ${cell.wins} of ${of}`),
  );
}

/** The fields of a thought, or the whole reply where it could not be read. */
function thoughtLines(cell) {
  const fields = Object.entries(cell.fields ?? {});
  if (cell.status !== "complete" || !fields.length) {
    return h("p", { class: "thought" }, h("em", {}, `${cell.status} reply: `), h("bdi", {}, visible(cell.reply)));
  }
  return h("dl", { class: "thought" }, fields.map(([key, value]) => h("div", {}, h("dt", {}, visible(key)), h("dd", {}, visible(worded(value))))));
}

const PASSED = { perception: ["sees truly", "sees wrongly"], plan: ["plan works", "plan fails"], step: ["next step right", "next step wrong"] };

/** The task's own checks of a thought: sign, words and question, so that no colour is needed. */
export function checkList(checks, questions = {}) {
  const answers = Object.entries(checks ?? {});
  if (!answers.length) return h("p", { class: "quiet" }, "not judged");
  return h("ul", { class: "checks" }, answers.map(([name, passed]) => h("li", { class: passed ? "right" : "wrong", title: questions[name] ?? null }, `${passed ? "✓" : "✗"} ${(PASSED[name] ?? [`${name} right`, `${name} wrong`])[passed ? 0 : 1]}`)));
}

export function missingPicture() {
  return h("p", { class: "missing" }, "This picture is missing from the run folder, or not in this file.");
}

function noPair(runs) {
  if (runs.every((run) => run.only_played)) return null;
  const evaluated = runs.some((run) => run.panel.length);
  return h("p", { class: "quiet note" }, evaluated ? "A thought before and after training appears here once the panel has been played twice: at the start, and after the last update or every train.eval_every updates." : "No evaluation yet: the panel is first played when a run starts.");
}

// -- curves ------------------------------------------------------------------------------------------------------

function legend(app) {
  const chips = methodsOf(app.runs()).map((method) => {
    const seeds = [...new Set(method.runs.map((run) => run.seed))].join(", ");
    const count = method.runs.length > 1 ? ` ${method.runs.length} runs,` : "";
    const box = h("input", { type: "checkbox", checked: !app.hidden.has(method.name), change: () => app.toggle(method.name) });
    const alarm = method.runs.filter((run) => run.alarm).length;
    return h("label", { class: "chip" }, box, h("span", { class: "swatch", style: `background:${methodColour(method.slot)}` }), h("strong", {}, plain(method.name)), method.runs[0].only_played ? null : h("small", {}, `${count} seed ${seeds}`), alarm ? h("small", { class: "rang" }, ` ✕ alarm rang in ${alarm} of ${method.runs.length}`) : null);
  });
  const many = app.runs().length > methodsOf(app.runs()).length;
  const words = `${many ? "Lines: mean over runs; bands: worst to best run. " : ""}${app.runs().some((run) => run.alarm) ? "✕ marks where the collapse alarm rang. " : ""}Hover for values; click for the episodes.`;
  return h("fieldset", { class: "legend" }, h("legend", {}, "Runs"), chips, h("p", { class: "quiet" }, words));
}

function telling(app, methods) {
  const success = app.runs().some((run) => run.panel.length > 1) ? ["panel/success", "Games won on the fixed panel"] : ["episode/success", "Games won in training"];
  return [...TELLING, success].filter(([metric]) => metric === "panel/success" || app.overview.metrics[metric]).map(([metric, title]) => card(app, metric, title, methods, 175));
}

function card(app, metric, title, methods, height = 220) {
  const turns = [...new Set(app.runs().map((run) => run.turns_per_update))];
  const unit = turns.length === 1 ? `update (${counted(turns[0], "turn")} each)` : "update";
  return curveCard(metric, title, methods, app.overview.metrics[metric] ?? null, unit, height, lookOf(app.runs()), () => app.show("keep"));
}

function groups(app, methods) {
  const { find } = lookOf(app.runs());
  const left = new Set(Object.keys(app.overview.metrics).filter((metric) => metric.toLowerCase().includes(find))); // In the order of the table that defines them.
  return GROUPS.map(([title, prefixes], index) => {
    const mine = prefixes.flatMap((prefix) => [...left].filter((metric) => metric.startsWith(prefix)));
    mine.forEach((metric) => left.delete(metric));
    if (!mine.length) return null;
    const body = h("div", { class: "cards" });
    const fill = () => body.childElementCount || body.append(...mine.map((metric) => card(app, metric, h("code", {}, plain(metric)), methods)));
    const open = find !== "" || app.opened.has(title) || (index < 2 && !app.closed.has(title));
    if (open) fill();
    const section = h("details", { class: "group", open }, h("summary", {}, h("h3", {}, title), h("small", {}, counted(mine.length, "curve"))), body);
    section.addEventListener("toggle", () => {
      app[section.open ? "opened" : "closed"].add(title);
      app[section.open ? "closed" : "opened"].delete(title);
      if (section.open) fill();
    });
    return section;
  });
}
