// Curves over training: one line per method, its mean over runs, with the band from the worst run to the best.
import { addressOf, choose } from "./address.js";
import { axisFor, placed, smoothed, zoomTo } from "./axis.js";
import { unpacked } from "./data.js";
import { chartText, h, plain, short } from "./text.js";

const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star", "pentagon", "hexagon"];
const DASHES = ["solid", "dash", "dashdot", "dot", "longdash", "longdashdot", "solid", "dash"];
const FIRST = ["gtr", "rl4vlm"]; // These always take the first colours, so that pictures can be compared.

/** The methods in the order of their colours, with the runs of each. */
export function methodsOf(runs) {
  const names = [...new Set(runs.map((run) => run.method))];
  const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  return names
    .sort((a, b) => place(a) - place(b))
    .map((name) => ({ name, slot: slotOf(name, names), runs: runs.filter((run) => run.method === name) }));
}

function slotOf(name, names) {
  const others = names.filter((one) => !FIRST.includes(one));
  return FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length + others.indexOf(name);
}

/** A colour of the page's style sheet. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export function methodColour(slot) {
  return colour(`method-${slot % SYMBOLS.length}`);
}

/** Mean, lowest and highest value over runs at every update at which any was measured, and where it lies on the axis. */
export function overSeeds(curves) {
  const at = new Map();
  for (const curve of curves) {
    curve.updates.forEach((update, i) => {
      const [x, y] = [(curve.x ?? curve.updates)[i], curve.y[i]];
      if (typeof x === "number" && typeof y === "number") at.set(update, [...(at.get(update) ?? []), [x, y]]);
    });
  }
  const updates = [...at.keys()].sort((a, b) => a - b);
  const every = (i) => updates.map((update) => at.get(update).map((point) => point[i]));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const values = every(1);
  return { updates, x: every(0).map(mean), mean: values.map(mean), low: values.map((one) => Math.min(...one)), high: values.map((one) => Math.max(...one)) };
}

/** A run's curve of a metric; the panel's also hold the agent at its start. */
export function curveOf(run, metric) {
  const health = metric.replace(/^panel\//, "");
  const updates = run.panel.map((one) => one.update);
  if (metric === "panel/success") return { updates, y: run.panel.map((one) => one.success) };
  if (metric !== health && run.panel.length) return { updates, y: run.panel.map((one) => one.health[health] ?? null) };
  return { updates: run.updates, y: run.series[metric] ?? [] };
}

/** The curve as it is drawn. Evaluations are few, and come with their own intervals: they are not smoothed. */
function drawnCurve(run, metric, look) {
  const { updates, y } = curveOf(run, metric);
  return { updates, x: placed(run, updates, look.x), y: metric.startsWith("panel/") ? y : smoothed(y, look.smooth) };
}

function tracesOf(metric, methods, look) {
  const traces = [];
  for (const method of methods) {
    const { updates, x, mean, low, high } = overSeeds(method.runs.map((run) => drawnCurve(run, metric, look)));
    if (!x.length) continue;
    const line = methodColour(method.slot);
    const several = method.runs.length > 1;
    if (several) {
      const edge = { x, mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
      traces.push({ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: faded(line) });
    }
    traces.push({
      x,
      y: mean,
      customdata: updates,
      mode: x.length < 12 ? "lines+markers" : "lines",
      name: chartText(method.name),
      line: { color: line, width: 2.5, dash: DASHES[method.slot % DASHES.length] },
      marker: { symbol: SYMBOLS[method.slot % SYMBOLS.length], size: 7 },
      cliponaxis: false,
      error_y: sureness(metric, method),
      text: x.map((_, i) => (several ? ` (${short(low[i])} to ${short(high[i])}, ${method.runs.length} runs)` : "")),
      hovertemplate: `%{y:.3~g}%{text}<extra>${chartText(method.name)}</extra>`,
    });
    traces.push(...rings(metric, method, line, look));
  }
  return traces;
}

/** How sure the success of a single run is: the 95 % interval of this agent on other starts. */
function sureness(metric, method) {
  const points = method.runs[0].panel;
  if (metric !== "panel/success" || method.runs.length > 1 || !points.every((one) => one.interval)) return undefined;
  return { type: "data", symmetric: false, array: points.map((one) => one.interval[1] - one.success), arrayminus: points.map((one) => one.success - one.interval[0]), thickness: 1, width: 3 };
}

/** Crosses where the alarm first rang, on the curves of the metrics that had fallen then and on success. */
function rings(metric, method, line, look) {
  const own = metric.replace(/^panel\//, "");
  const rung = method.runs.filter((run) => run.alarm && (run.alarm.seen_by.includes(own) || own === "success"));
  const points = rung.map((run) => [run, lastPoint(drawnCurve(run, metric, look), run.alarm.update)]).filter(([, point]) => point);
  if (!points.length) return [];
  return [
    {
      x: points.map(([, point]) => point.x),
      y: points.map(([, point]) => point.y),
      customdata: points.map(([run]) => run.alarm.update),
      mode: "markers",
      cliponaxis: false,
      marker: { symbol: "x", size: 13, color: line, line: { width: 1.5, color: colour("page") } },
      hovertemplate: points.map(([run]) => `collapse alarm rang (${chartText(run.name)})<extra></extra>`),
    },
  ];
}

/** The last point that was measured up to an update, at that update's own place. */
function lastPoint(curve, update) {
  const before = curve.updates.map((one, i) => ({ update: one, x: curve.x[i], y: curve.y[i] })).filter((one) => one.update <= update && typeof one.y === "number" && typeof one.x === "number");
  return before.at(-1) ?? null;
}

function faded(hex) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},0.18)`;
}

/** Whether a metric is a share, so that its axis is best kept from 0 to 1. */
function isShare(traces) {
  const values = traces.flatMap((trace) => trace.y);
  return values.every((value) => value >= 0 && value <= 1) && (values.some((value) => value > 0.2) || values.every((value) => value === 0));
}

/** Layout shared by all charts. */
function layout(extra = {}) {
  const text = colour("ink");
  const axis = { gridcolor: colour("line"), zeroline: false, linecolor: colour("line"), fixedrange: true, automargin: true };
  return {
    margin: { l: 38, r: 12, t: 8, b: 36 },
    height: 220,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: text },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: text } },
    ...extra,
    xaxis: { ...axis, ...extra.xaxis },
    yaxis: { ...axis, ...extra.yaxis },
  };
}

let charts = null;

/** The chart library, fetched or unpacked when the first chart is to be drawn: the page's words come before it. */
export function chartLibrary() {
  charts ??= new Promise((resolve, reject) => {
    const packed = document.getElementById("packed-charts");
    const script = document.createElement("script");
    const ready = () => resolve(window.Plotly);
    script.addEventListener("error", () => reject(new Error("the chart library cannot be loaded")));
    if (packed) {
      unpacked(packed.textContent).then((text) => {
        script.textContent = text;
        document.head.append(script);
        ready();
      }, reject);
    } else {
      script.addEventListener("load", ready);
      script.src = "charts.js";
      document.head.append(script);
    }
  });
  return charts;
}

/** Draws a chart once the library is there. */
export async function draw(place, traces, extra) {
  const library = await chartLibrary();
  await library.react(place, traces, layout(extra), { displayModeBar: false, responsive: true, doubleClick: false });
}

/** Paints when the place is about to be seen. */
export function whenSeen(place, paint) {
  const watcher = new IntersectionObserver(
    (entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        watcher.disconnect();
        paint();
      }
    },
    { rootMargin: "200px" },
  );
  watcher.observe(place);
}

/** A card with a metric's curves, and what it means one click away; `redraw` is called when a part was chosen. */
export function curveCard(metric, title, methods, meaning, unit, height, look, redraw) {
  const place = h("div", { class: "chart", style: `min-height:${height}px`, role: "img", "aria-label": spoken(metric, title, methods) });
  whenSeen(place, () => {
    const traces = tracesOf(metric, methods, look);
    const yaxis = isShare(traces) ? { range: [-0.03, 1.05] } : look.zoom ? { range: inView(traces, look.zoom) } : {};
    // On a touch screen a finger over a chart scrolls the page.
    const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
    const xaxis = { ...axisFor(traces.flatMap((trace) => trace.x), look, unit), fixedrange: false };
    draw(place, traces, { height, dragmode, xaxis, yaxis }).then(() => {
      place.on("plotly_click", ({ points }) => toEpisodes(metric, points[0].customdata));
      place.on("plotly_relayout", (event) => zoomTo(event) && redraw());
    });
  });
  return h("figure", { class: "card" }, h("figcaption", {}, title, meaning?.on ? h("small", {}, meaning.on) : null), place, explained(metric, meaning));
}

/** Lowest and highest value between two places, with a little air; undefined where there is none. */
function inView(traces, [from, to]) {
  const values = traces.flatMap((trace) => trace.y.filter((_, i) => trace.x[i] >= from && trace.x[i] <= to));
  if (!values.length) return undefined;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low || Math.abs(high) || 1) / 20;
  return [low - air, high + air];
}

/** From a point of a curve to the episodes that it was measured on. */
function toEpisodes(metric, update) {
  for (const bound of ["from", "to"]) choose(bound, update);
  choose("played", metric.startsWith("panel/") ? "evaluation" : "training", "training");
  location.hash = addressOf("#/episodes");
}

/** The chart in words, for those who do not see it. */
function spoken(metric, title, methods) {
  const parts = methods.map((method) => {
    const { mean } = overSeeds(method.runs.map((run) => curveOf(run, metric)));
    return mean.length ? `${method.name} from ${short(mean[0])} to ${short(mean.at(-1))}` : `${method.name} not measured`;
  });
  return plain(`${typeof title === "string" ? title : metric}: ${parts.join("; ")}`);
}

const opened = new Set(); // The metrics whose meaning is open: the page is drawn anew while a run trains.

/** What a metric is: formula, meaning, what is healthy, source. */
export function explained(metric, meaning) {
  const toggle = (event) => opened[event.target.open ? "add" : "delete"](metric);
  if (!meaning) return h("details", { class: "meaning", open: opened.has(metric), toggle }, h("summary", {}, "What is this?"), h("p", {}, `${metric}: a metric of this run's own version.`));
  return h(
    "details",
    { class: "meaning", open: opened.has(metric), toggle },
    h("summary", {}, "What is this?"),
    h("p", {}, meaning.meaning),
    h(
      "dl",
      {},
      h("div", {}, h("dt", {}, "metric"), h("dd", {}, h("code", {}, plain(metric)))),
      h("div", {}, h("dt", {}, "formula"), h("dd", {}, meaning.formula)),
      h("div", {}, h("dt", {}, "healthy"), h("dd", {}, meaning.healthy)),
      meaning.source ? h("div", {}, h("dt", {}, "source"), h("dd", {}, meaning.source)) : null,
    ),
  );
}
