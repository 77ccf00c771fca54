// The same start state under two agents: two runs, or one run before and after, turn beside turn.
import { OUTCOMES } from "./episodes-data.js";
import { checkList, missingPicture } from "./overview.js";
import { choice, counted, h, labelled, plain, short, visible, worded } from "./text.js";

export async function compareView(app) {
  const agents = app.runs().flatMap((run) => run.panel.map((one) => ({ key: `${run.id}/${one.update}`, run, ...one })));
  if (agents.length < 2) return [app.groupPicker(), h("p", { class: "note" }, "Two evaluations are needed to lay side by side. A run plays its panel at the start, at the end, and every train.eval_every updates between.")];
  const state = (app.sides ??= firstSides(app, agents));
  const [left, right] = state.keys.map((key) => agents.find((one) => one.key === key) ?? agents[0]);
  const [a, b] = await Promise.all([left, right].map((one) => app.data.get("panel", one.run.id, one.update)));
  const starts = paired(a, b);
  const names = agents.map((one) => [one.key, `${one.run.name}, ${one.update === 0 ? "before training" : `after update ${one.update}`} (${short(one.success, 2)})`]);
  const pick = (side) => labelled(side ? "right" : "left", choice(names, state.keys[side], (key) => { state.keys[side] = key; app.show(); }));
  const only = choice(Object.entries(DIFFERENCES).map(([key, [text]]) => [key, text]), state.only, (value) => { state.only = value; state.episode = null; app.show(); });
  const listed = starts.filter((one) => DIFFERENCES[state.only][1](one));
  const warning = left.name !== right.name ? h("p", { class: "note" }, "These evaluations are of different panels: their start states are not the same.") : null;
  if (!listed.some((one) => one.episode === state.episode)) state.episode = listed[0]?.episode ?? null;
  const head = [h("h2", { class: "sr" }, "Compare"), h("form", { class: "filters", "aria-label": "What to compare", submit: (event) => event.preventDefault() }, app.groupPicker(), pick(0), pick(1), labelled("start states", only)), warning];
  if (!a?.length || !b?.length) return [...head, h("p", { class: "note" }, "The turns of one of these evaluations were not kept, cannot be read, or are not in this file.")];
  const sides = state.episode === null ? null : await sideBySide(app, left, right, state.episode);
  return [...head, h("p", { class: "count", role: "status" }, `${listed.length} of ${counted(starts.length, "start state")}`), strip(app, listed, state), sides ?? h("p", { class: "note" }, "No start state is of this kind.")];
}

const DIFFERENCES = {
  all: ["all", () => true],
  right: ["only the right one wins", (one) => one.b.success && !one.a.success],
  left: ["only the left one wins", (one) => one.a.success && !one.b.success],
  neither: ["neither wins", (one) => !one.a.success && !one.b.success],
  both: ["both win", (one) => one.a.success && one.b.success],
};

/** Without guidance against guided where there are both, else before against after; at the start state of the overview. */
function firstSides(app, agents) {
  const last = app.runs().filter((run) => run.panel.length).map((run) => ({ run, key: `${run.id}/${run.panel.at(-1).update}` }));
  const without = last.find((one) => !one.run.guided);
  const guided = last.find((one) => one.run.guided);
  const keys = without && guided ? [without.key, guided.key] : [agents[0].key, last[0].key];
  return { keys, only: "all", episode: app.group().pair?.number ?? null };
}

function paired(a, b) {
  const others = new Map((b ?? []).map((one) => [one.episode, one]));
  return (a ?? []).filter((one) => others.has(one.episode)).map((one) => ({ episode: one.episode, a: one, b: others.get(one.episode) }));
}

/** All start states as small buttons that tell who won there. */
function strip(app, listed, state) {
  const sign = (one) => (one.success ? "✓" : "✗");
  const words = (one) => (one.success ? "wins" : "does not win");
  return h("div", { class: "strip", role: "group", "aria-label": "Start states" }, listed.map((one) => h("button", { type: "button", "aria-current": one.episode === state.episode ? "true" : null, title: `start state ${one.episode + 1}: left ${words(one.a)}, right ${words(one.b)}`, click: () => { state.episode = one.episode; app.show(); } }, h("b", {}, String(one.episode + 1)), h("i", { class: one.a.success ? "right" : "wrong" }, sign(one.a)), h("i", { class: one.b.success ? "right" : "wrong" }, sign(one.b)))));
}

async function sideBySide(app, left, right, episode) {
  const plays = await Promise.all([left, right].map((one) => app.data.get("play", one.run.id, one.update, episode)));
  const rows = Math.max(...plays.map((turns) => turns?.length ?? 0));
  const heads = [left, right].map((one, side) => {
    const last = plays[side]?.at(-1);
    const outcome = !last ? "not in this file" : last.success ? OUTCOMES.won : last.ending === "terminated" ? OUTCOMES.lost : (OUTCOMES[last.ending] ?? last.ending);
    return h("h3", {}, h("span", { class: "swatch", style: `background:${app.runColour(one.run)}` }), `${plain(one.run.name)}, ${one.update === 0 ? "before training" : `update ${one.update}`}: ${outcome}`);
  });
  const cells = [];
  for (let i = 0; i < rows; i++) plays.forEach((turns, side) => cells.push(turns?.[i] ? played(app, side ? right : left, turns[i], i) : h("div", { class: "played over" }, "")));
  return h("div", { class: "sides" }, heads, cells);
}

function played(app, agent, turn, i) {
  const image = h("img", { class: "pixels", src: app.data.image(agent.run.id, turn.image ?? ""), alt: "The picture that the agent sees", width: 112, height: 112, loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(missingPicture()));
  const fields = Object.entries(turn.fields ?? {}).filter(([name]) => name !== "action");
  const said = turn.status === "complete" ? h("dl", { class: "thought" }, fields.map(([name, value]) => h("div", {}, h("dt", {}, visible(name)), h("dd", {}, visible(worded(value)))))) : h("p", { class: "thought" }, h("em", {}, `${plain(turn.status)} reply: `), h("bdi", {}, visible(turn.reply ?? "")));
  const prompt = (turn.prompt ?? "").length < 120 ? h("p", { class: "quiet" }, visible(turn.prompt ?? "")) : null;
  return h("article", { class: "played" }, image, h("div", {}, h("h4", {}, `turn ${i + 1}: `, h("code", {}, visible(turn.action ?? "?")), turn.legal ? "" : " (not legal)", h("small", {}, turn.reward ? ` reward ${short(turn.reward, 2)}` : "")), prompt, said, checkList(turn.checks, app.overview.questions)));
}
