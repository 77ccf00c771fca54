// What the curves are drawn over, how smooth, and which part of them: one choice for all, kept in the page's address.
import { choose, chosen } from "./address.js";
import { choice, h, labelled } from "./text.js";

const AXES = { updates: "updates", turns: "environment turns", seconds: "seconds of training", tokens: "sampled tokens" };
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/** The choice: `x` of AXES, `smooth` from 0 (not at all) to .99, `zoom` as [from, to] or null, `find` part of a name. */
export function lookOf(runs) {
  const known = Object.keys(AXES).filter((name) => name === "updates" || runs.some((run) => run.reached[name]));
  const range = chosen("zoom").split("..").map(Number);
  return {
    known,
    x: known.includes(chosen("x")) ? chosen("x") : "updates",
    smooth: Math.min(0.99, Math.max(0, Number(chosen("smooth", 0)) || 0)),
    zoom: range.length === 2 && range[0] < range[1] ? range : null,
    find: chosen("curves").toLowerCase(),
  };
}

/** Where updates lie on the chosen axis; null where the run does not say. */
export function placed(run, updates, x) {
  if (x === "updates") return updates;
  const at = new Map(run.updates.map((update, i) => [update, run.reached[x]?.[i] ?? null]));
  return updates.map((update) => (update === 0 && run.reached[x] ? 0 : (at.get(update) ?? null)));
}

/** An exponential mean of what came before, as TensorBoard's: without a pull towards 0 at the start. */
export function smoothed(values, weight) {
  let [sum, share] = [0, 0];
  return values.map((value) => {
    if (value === null || value === undefined) return value;
    [sum, share] = [sum * weight + (1 - weight) * value, share * weight + (1 - weight)];
    return sum / share;
  });
}

/** The horizontal axis; where it counts updates, ticks at whole ones, a handful of them. */
export function axisFor(xs, look, unit) {
  const all = [Math.min(...xs), Math.max(...xs)];
  const [from, to] = look.zoom ? [look.zoom[0], Math.min(look.zoom[1], all[1])] : all;
  const ticks = look.x === "updates" ? { dtick: STEPS.find((one) => (to - from) / one <= 8) ?? 10000, tick0: 0 } : { tickformat: "~s" };
  return { title: { text: look.x === "updates" ? unit : AXES[look.x], standoff: 6 }, ...(xs.length ? ticks : {}), ...(look.zoom && from < to ? { range: [from, to] } : {}) };
}

/** Keeps what was dragged over in a chart; returns whether anything was. */
export function zoomTo(event) {
  const range = [event["xaxis.range[0]"], event["xaxis.range[1]"]];
  if (range.includes(undefined)) return false;
  choose("zoom", range.map((one) => Number(one.toPrecision(4))).join(".."));
  return true;
}

/** The controls of all curves. */
export function curveBar(look, changed) {
  const set = (name, otherwise = "") => (value) => { choose(name, value, otherwise); changed(); };
  const input = (name, kind, value, change, more = {}) => labelled(name, h("input", { type: kind, ...more, value, "aria-label": name, change: (event) => change(event.target.value) }));
  const axis = choice(look.known.map((name) => [name, AXES[name]]), look.x, (x) => { choose("zoom", ""); set("x", "updates")(x); });
  axis.setAttribute("aria-label", "curves over");
  const bound = (i) => (value) => {
    const ends = (look.zoom ?? [0, Infinity]).map((one, j) => (i === j ? (value === "" ? [0, Infinity][i] : Number(value)) : one));
    set("zoom", "0..Infinity")(ends.join(".."));
  };
  return h(
    "form",
    { class: "filters", "aria-label": "How curves are drawn", submit: (event) => event.preventDefault() },
    labelled("curves over", axis),
    input("smoothing", "range", look.smooth, set("smooth", "0"), { min: 0, max: 0.95, step: 0.05 }),
    input("shown from", "number", look.zoom?.[0] ?? "", bound(0), { min: 0, step: "any" }),
    input("shown to", "number", Number.isFinite(look.zoom?.[1]) ? look.zoom[1] : "", bound(1), { min: 0, step: "any" }),
    input("metrics that contain", "search", look.find, set("curves")),
    look.zoom ? h("button", { type: "button", "aria-label": "show all", click: () => set("zoom")("") }, "Show all") : null,
  );
}
