// One turn: the picture, what was asked and thought, what the corrector said, what it earned and what was learnt.
import { OUTCOMES } from "./episodes-data.js";
import { checkList, missingPicture } from "./overview.js";
import { choice, counted, diffNodes, h, labelled, plain, short, visible, worded } from "./text.js";

export const SHADES = [
  ["logprob", "log-probability when sampled"],
  ["ratio", "PPO ratio in the last pass"],
  ["weight", "PPO weight"],
  ["cloning", "cloning weight of the lesson"],
  ["none", "nothing"],
];

export async function turnView(app) {
  const { at } = app;
  if (!at) return [h("p", { class: "note" }, "No turn is chosen yet. Choose an episode in the list, or walk there with ", h("kbd", {}, "↓"), " from here."), h("p", {}, h("a", { href: "#/episodes" }, "To the list of episodes"))];
  const row = app.episodes.find(at.run, at.env, at.episode);
  if (!row) return [h("p", { class: "note" }, app.loading ? "Reading…" : "This episode is not in the run folder (any more).")];
  const turns = await app.turnsOf(row);
  if (!turns.length) return [h("p", { class: "note" }, app.data.exported ? "This file does not hold the turns of this episode. Open the run folder with gtr show to see them." : "The turns of this episode cannot be read; the list above says why.")];
  at.turn = Math.max(0, Math.min(at.turn, turns.length - 1));
  const turn = turns[at.turn];
  return [heading(app, row, turns), walker(app, turns, at), h("div", { class: "turn" }, seen(app, at, turn), h("div", { class: "said" }, thought(app, turn), verdict(turn, app), perception(turn), action(turn), numbers(app, turn, row)))];
}

function heading(app, row, turns) {
  const run = app.overview.runs[row.run];
  const missing = turns[0].turn > 0 ? ` Its first ${counted(turns[0].turn, "turn")} lie in updates whose turns were not kept.` : "";
  return h(
    "div",
    { class: "turn-head" },
    h("h2", {}, h("span", { class: "swatch", style: `background:${app.runColour(run)}` }), `${plain(run.name)}, ${row.played === "evaluation" ? `evaluation after update ${row.update}, start state ${row.episode + 1}` : `update ${row.parts.join(" and ")}, environment ${row.env}, episode ${row.episode}`}: `, h("span", { class: `outcome-${row.outcome}` }, OUTCOMES[row.outcome] ?? plain(row.outcome))),
    h("p", { class: "quiet" }, `return ${short(row.reward, 2)}, ${counted(row.turns, "turn")}, surprise ${short(row.surprise)} nats a token${row.kind ? `, ${plain(row.kind)}` : ""}.${missing}`),
  );
}

const OLD_JUDGEMENTS = new Map([["right", "correct"], ["wrong", "incorrect"], ["hopeless", "unsolvable"]]);

/** How the verdict of a turn reads; runs of older versions have other words for it. */
function judgement(found) {
  const said = plain(found?.judgement ?? "");
  return OLD_JUDGEMENTS.get(said) ?? said;
}

/** All turns of the episode as buttons, each with its action and how it was judged. */
function walker(app, turns, at) {
  const buttons = turns.map((turn, i) => {
    const judged = judgement(turn.verdict);
    const sign = judged === "incorrect" ? "✎" : turn.legal === false ? "!" : judged === "unsolvable" ? "∅" : "";
    const words = `turn ${turn.turn + 1}, ${judged ? `judged ${judged}` : "not judged"}${turn.legal ? "" : ", illegal action"}`;
    return h("button", { type: "button", class: `step ${judged}`, "aria-current": i === at.turn ? "true" : null, title: words, "aria-label": `${turn.turn + 1} ${plain(turn.action ?? "?").slice(0, 12)} ${sign}: ${words}`, click: () => app.goTurn(i) }, h("b", {}, String(turn.turn + 1)), h("span", {}, plain(turn.action ?? "?").slice(0, 12)), h("i", {}, sign));
  });
  const move = (text, label, step) => h("button", { type: "button", "aria-label": label, title: label, click: step }, text);
  return h("nav", { class: "walker", "aria-label": "Turns of this episode" }, move("⇤", "episode before (k)", () => app.stepEpisode(-1)), move("←", "turn before (h)", () => app.stepTurn(-1)), h("div", { class: "steps" }, buttons), move("→", "turn after (l)", () => app.stepTurn(1)), move("⇥", "episode after (j)", () => app.stepEpisode(1)));
}

function seen(app, at, turn) {
  const image = h("img", { class: "pixels large", src: app.data.image(at.run, turn.image ?? ""), alt: "The picture that the agent sees" });
  image.addEventListener("error", () => image.replaceWith(missingPicture()));
  return h("div", { class: "seen" }, image, h("details", { open: (turn.prompt ?? "").length < 1500 }, h("summary", {}, "Prompt"), h("pre", { class: "model" }, visible(turn.prompt ?? ""))));
}

// -- the thought, token by token ---------------------------------------------------------------------------------

function thought(app, turn) {
  const shade = app.shade;
  const lesson = shade === "cloning" ? turn.lesson : null;
  const text = lesson ? lesson.text : (turn.reply ?? "");
  const spans = lesson ? pieces(lesson.text, lesson.ends) : pieces(text, turn.per_token?.ends);
  const values = lesson ? spread(lesson.weights) : valuesOf(turn.per_token, shade);
  const picker = labelled("colour by", choice(SHADES, shade, (value) => app.setShade(value)));
  const tokens = spans && values?.length ? spans.map((piece, i) => token(piece, values[i], shade)) : [visible(text)];
  return h(
    "section",
    {},
    h("div", { class: "bar" }, h("h3", {}, lesson ? "The lesson that was cloned" : "The reply"), turn.status === "complete" ? null : h("span", { class: "badge wrong" }, plain(turn.status)), picker),
    h("pre", { class: "model tokens", "data-shade": shade }, tokens),
    key(turn, shade, values),
  );
}

/** The text of each token; characters as Python counts them, so by code points. */
function pieces(text, ends) {
  if (!ends?.length) return null;
  const points = Array.from(text);
  return ends.map((end, i) => points.slice(i ? ends[i - 1] : 0, end).join(""));
}

/** `[[2, 0.5], [1, 1]]` as three numbers. */
function spread(runs) {
  return (runs ?? []).flatMap(([count, value]) => Array(count).fill(value));
}

function valuesOf(perToken, shade) {
  if (!perToken) return null;
  return { logprob: perToken.logprobs, ratio: perToken.ratios, weight: spread(perToken.weights), none: null, cloning: null }[shade];
}

function token(piece, value, shade) {
  const text = piece === "" ? "⏎" : piece;
  const title = `${shade === "logprob" ? "log p" : shade} ${short(value)}`;
  return h("span", { class: `token ${tone(value, shade)}`, style: `--strength:${strength(value, shade).toFixed(2)}`, title, tabindex: -1 }, piece === "" ? h("span", { class: "mark" }, text) : visible(text));
}

function tone(value, shade) {
  if (shade === "ratio") return value >= 1 ? "up" : "down";
  return shade === "logprob" ? "down" : "up";
}

/** From 0 (no colour) to 1: log-probabilities down to -3, log-ratios up to half a nat, weights as they are. */
function strength(value, shade) {
  if (value === null || value === undefined) return 0;
  if (shade === "logprob") return Math.min(1, -value / 3);
  if (shade === "ratio") return Math.min(1, Math.abs(Math.log(Math.max(value, 1e-6))) / 0.5);
  return Math.min(1, Math.abs(value));
}

function key(turn, shade, values) {
  const none = { logprob: turn.logprob ? "This run was made before token log-probabilities were kept." : "No token was sampled for this reply.", ratio: "No ratios are kept for this turn: it was not learnt from, or the run is of an older version.", weight: "No weights are kept for this turn: it was not learnt from, or the run is of an older version.", cloning: turn.lesson === null || turn.lesson === undefined ? "This turn gave no lesson." : "" };
  if (shade !== "none" && !values?.length) return h("p", { class: "quiet" }, none[shade] ?? "");
  const words = { logprob: "The deeper the colour, the less likely the token was (full at -3 nats).", ratio: "Blue: the update has made the token likelier; orange: less likely (full at half a nat).", weight: "How much PPO counts each token: 1 on the action, lambda on the thought.", cloning: "1: cloned; no colour: masked, which is the agent's own action.", none: "" };
  return h("p", { class: "quiet" }, words[shade]);
}

// -- what was said about it --------------------------------------------------------------------------------------

function verdict(turn, app) {
  const found = turn.verdict;
  if (!found) return h("section", {}, h("h3", {}, "Verdict"), h("p", { class: "quiet" }, "No corrector was asked about this turn."));
  const words = { scored: `A judge gave the thought ${Number(found.score).toFixed(2)} of 1, which is a reward: no lesson.`, correct: "The corrector found the thought right.", incorrect: "The corrector found the thought wrong and rewrote it:", unsolvable: "No thought can succeed from here any more: no lesson.", absent: "The corrector gave no usable answer.", skipped: "The corrector was not asked." };
  const questions = app.overview.questions;
  return h(
    "section",
    {},
    h("div", { class: "bar" }, h("h3", {}, "Verdict"), h("span", { class: `badge ${judgement(found)}` }, judgement(found)), found.stop ? h("span", { class: "badge" }, "ends the episode") : null),
    h("p", {}, words[judgement(found)] ?? ""),
    found.thought ? h("dl", { class: "rewrite" }, Object.entries(found.thought).map(([name, value]) => h("div", {}, h("dt", {}, visible(name)), h("dd", { class: "model" }, diffNodes(worded(turn.fields?.[name] ?? ""), worded(value)))))) : null,
    Object.keys(found.answers ?? {}).length ? h("ul", { class: "answers" }, Object.entries(found.answers).map(([name, passed]) => h("li", { class: passed ? "right" : "wrong" }, `${passed ? "✓ yes" : "✗ no"}: ${plain(questions[name] ?? name)}`))) : null,
    found.target ? h("p", { class: "quiet" }, "Plan kept for the episode: ", h("bdi", {}, visible(found.target))) : null,
  );
}

/** What the thought states beside what is so: the expert's own thought where the task has one, else the bare truth. */
function perception(turn) {
  const truth = Object.entries(turn.truth ?? {});
  const stated = Object.entries(turn.fields ?? {}).filter(([name]) => name !== "action");
  const expert = turn.expert;
  const rows = stated.map(([name, value]) => {
    const own = worded(value);
    const so = expert ? worded(expert[name] ?? "") : "";
    return h("tr", {}, h("th", { scope: "row" }, visible(name)), h("td", { class: "model" }, visible(own)), h("td", { class: "model" }, expert ? diffNodes(own, so) : "–"));
  });
  return h(
    "section",
    {},
    h("h3", {}, "Stated against true"),
    stated.length ? h("table", { class: "stated" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "field"), h("th", { scope: "col" }, "the agent states"), h("th", { scope: "col" }, expert ? "an expert would state" : "an expert would state (not known)"))), h("tbody", {}, rows)) : h("p", { class: "quiet" }, "The reply states nothing that can be read."),
    turn.checks && Object.keys(turn.checks).length ? h("p", {}, "By the task's own checks: ", checkList(turn.checks)) : turn.unjudged ? h("p", { class: "quiet" }, plain(turn.unjudged)) : null,
    turn.expert === null && turn.checks ? h("p", { class: "quiet" }, "No expert can win from this state.") : null,
    truth.length ? h("details", {}, h("summary", {}, "The state as the environment knows it"), h("dl", { class: "facts" }, truth.map(([name, value]) => h("div", {}, h("dt", {}, visible(name)), h("dd", { class: "model" }, visible(worded(value))))))) : null,
  );
}

/** Whether two texts name one action: the same words, in any case and spacing. */
function sameAction(one, other) {
  const words = (text) => text.toUpperCase().toLowerCase().trim().split(/\s+/).join(" ");
  return words(one) === words(other);
}

function action(turn) {
  const said = turn.action === null || turn.action === undefined ? h("em", {}, "none could be read") : h("code", {}, visible(turn.action || "(empty)"));
  const announced = turn.implied ? [" The thought announces ", h("code", {}, visible(turn.implied)), sameAction(turn.implied, turn.action ?? "") ? ", so the action follows it." : ": the action does not follow it."] : [];
  return h("section", {}, h("h3", {}, "Action"), h("p", {}, said, " ", h("span", { class: `badge ${turn.legal ? "right" : "wrong"}` }, turn.legal ? "legal" : "not legal"), announced));
}

function numbers(app, turn, row) {
  const clip = app.overview.runs[row.run].clip;
  const tokens = turn.per_token?.logprobs?.length;
  const known = turn.advantage !== null && turn.advantage !== undefined;
  const cells = [
    ["reward", short(turn.reward), "what the environment paid for this action"],
    ["value", short(turn.value), "what the critic expected from here"],
    ["advantage", short(turn.advantage), "GAE: how much better than expected this went"],
    ["return", known ? short(turn.advantage + turn.value) : "–", "value + advantage: what the critic is taught"],
    ["PPO ratio", short(turn.ratio), clip ? `of the turn, in the update's last pass; clipped outside 1 ± ${clip}` : "of the turn, in the update's last pass"],
    ["surprise", tokens ? short(-turn.logprob / tokens) : turn.logprob ? short(-turn.logprob) : "–", tokens ? "nats a token, when sampled" : "nats in all, when sampled"],
    ["ending", OUTCOMES[turn.ending] ?? turn.ending, "how the turn left the episode"],
  ];
  return h("section", {}, h("h3", {}, "Numbers"), h("dl", { class: "numbers" }, cells.map(([name, value, meaning]) => h("div", { title: meaning }, h("dt", {}, name), h("dd", {}, plain(value ?? "–")), h("dd", { class: "quiet" }, meaning)))));
}
