// How thoughts rot: which ones grow or die over training, and whether they still belong to the picture they are about.
import { axisFor } from "./axis.js";
import { draw, methodColour, whenSeen } from "./charts.js";
import { chartText, choice, counted, h, labelled, plain, short, visible } from "./text.js";

const TOP = 8;

export async function collapseView(app) {
  const runs = app.overview.runs;
  const state = (app.collapse ??= { run: (runs.find((run) => run.alarm) ?? runs.find((run) => !run.guided) ?? runs[0]).id, field: "", update: null });
  const run = runs[state.run];
  const set = (name) => (value) => { state[name] = value; app.show(); };
  const picker = runs.length > 1 ? labelled("run", choice(runs.map((one) => [one.id, one.name]), state.run, (value) => { state.run = Number(value); state.update = null; app.show(); })) : null;
  const counts = countsOf(app, run);
  const fields = [...new Set(counts.flatMap((one) => Object.keys(one.thoughts.fields)))];
  const fieldPicker = labelled("part of the thought", choice(fields.map((field) => [field, field || "the whole thought"]), state.field, set("field")));
  return [
    h("h2", { class: "sr" }, "Collapse"),
    h("form", { class: "filters", "aria-label": "What to show", submit: (event) => event.preventDefault() }, picker, counts.length ? fieldPicker : null),
    h("p", { class: run.alarm ? "note" : "quiet" }, rang(run)),
    h("section", {}, h("h3", {}, "The most frequent thoughts over training"), frequent(app, run, counts, state.field)),
    h("section", {}, h("h3", {}, "Thoughts against pictures"), ...(await matrix(app, run, state))),
  ];
}

function rang(run) {
  if (!run.alarm) return `The collapse alarm did not ring in this run (${counted(run.done, "update")} so far).`;
  return `The collapse alarm rang in this run after update ${run.alarm.update}: ${run.alarm.seen_by.map(plain).join(", ")} had fallen. Thoughts may be wrong and still differ from picture to picture, so that what follows can look orderly.`;
}

/** `3 of 16 pass perception`, for each of the task's checks. */
function passed(checks) {
  const names = [...new Set(checks.flatMap((one) => Object.keys(one)))];
  return names.map((name) => `${checks.filter((one) => one[name]).length} of ${checks.length} pass ${plain(name)}`).join(", ");
}

// -- which thoughts grow -----------------------------------------------------------------------------------------

function countsOf(app, run) {
  return run.with_turns.map((update) => ({ update, thoughts: app.episodes.thoughts.get(`${run.id}/${update}`) })).filter((one) => one.thoughts?.total);
}

function frequent(app, run, counts, field) {
  if (!counts.length) return h("p", { class: "note" }, app.loading ? "Reading…" : "No complete thought is stored here yet.");
  const shares = new Map();
  for (const { update, thoughts } of counts) {
    for (const [text, count] of thoughts.fields[field] ?? []) {
      if (!shares.has(text)) shares.set(text, new Map());
      shares.get(text).set(update, count / thoughts.total);
    }
  }
  const most = (series) => Math.max(...series.values());
  const top = [...shares].sort((a, b) => most(b[1]) - most(a[1])).slice(0, TOP);
  const xs = counts.map((one) => one.update);
  const place = h("div", { class: "chart", role: "img", "aria-label": "Shares of the most frequent thoughts over the updates" });
  whenSeen(place, () => {
    const traces = top.map(([text, series], i) => ({ x: xs, y: xs.map((x) => series.get(x) ?? 0), mode: "lines+markers", line: { color: methodColour(i), width: 2.2 }, marker: { size: 6, symbol: i }, hovertemplate: `%{y:.1%} ${chartText(text.slice(0, 60))}<extra></extra>` }));
    draw(place, traces, { height: 280, xaxis: axisFor(xs, { x: "updates", zoom: null }, "update"), yaxis: { tickformat: ",.1~%", rangemode: "tozero", title: { text: "share of thoughts" } } });
  });
  const first = counts[0], last = counts.at(-1);
  const different = (one) => `${one.thoughts.different[field] ?? 0} different among ${one.thoughts.total.toLocaleString("en")}`;
  const rows = top.map(([text, series], i) => h("tr", {}, h("td", {}, h("span", { class: "swatch", style: `background:${methodColour(i)}` })), h("td", { class: "model" }, visible(text)), h("td", {}, share(series.get(first.update))), h("td", {}, share(most(series))), h("td", {}, share(series.get(last.update))), h("td", {}, pictures(app, run, last, field, text))));
  const head = [h("td"), ...["thought", `update ${first.update}`, "at most", `update ${last.update}`, `on pictures, update ${last.update}`].map((text) => h("th", { scope: "col" }, text))];
  return [
    h("p", {}, `In update ${first.update}: ${different(first)}; in update ${last.update}: ${different(last)}. When one thought grows until it serves every state, thoughts have collapsed into a template; a healthy run's shares stay small and level.`),
    h("figure", { class: "card" }, place, h("div", { class: "wide" }, h("table", { class: "shares" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)))),
  ];
}

/** On how many different pictures an update's thought was thought, and some of them. */
function pictures(app, run, last, field, text) {
  const place = (last.thoughts.fields[field] ?? []).findIndex(([other]) => other === text);
  const known = last.thoughts.pictures?.[field]?.[place];
  if (!known) return "–";
  const images = known.images.map((name, i) => h("img", { class: "pixels", width: 40, height: 40, loading: "lazy", src: app.data.image(run.id, name), alt: `picture ${i + 1} of ${known.count}` }));
  return [`${known.count} different `, images];
}

function share(value) {
  return value === undefined ? "rare" : `${(100 * value).toFixed(1)} %`;
}

// -- do they belong to their pictures ----------------------------------------------------------------------------

async function matrix(app, run, state) {
  if (!run.probed.length) return [h("p", { class: "note" }, "No matrix is stored for this run: it was made by an older version, or with report.probe_turns 0.")];
  const update = run.probed.includes(state.update) ? state.update : run.probed.at(-1);
  const slider = h("input", { type: "range", min: 0, max: run.probed.length - 1, value: run.probed.indexOf(update), "aria-label": "update", change: (event) => { state.update = run.probed[event.target.value]; app.show("keep"); } });
  const probe = await app.data.get("probe", run.id, update);
  const bar = h("div", { class: "bar" }, labelled(`update ${update}`, slider));
  if (!probe?.scores?.length) return [bar, h("p", { class: "note" }, "This matrix cannot be read, or is not in this file.")];
  const n = probe.scores.length;
  const own = (i, j) => i === j || probe.states[i] === probe.states[j];
  const hits = probe.scores.map((row, i) => row.indexOf(Math.max(...row))).filter((best, i) => own(i, best)).length;
  const picture = (j) => h("img", { class: "pixels", width: 40, height: 40, src: app.data.image(run.id, probe.images?.[j] ?? ""), alt: `picture ${j + 1}` });
  const cell = (value, i, j) => {
    const gap = value - probe.scores[i][i];
    const best = value === Math.max(...probe.scores[i]);
    const depth = Math.exp(Math.min(0, value - Math.max(...probe.scores[i])) * 1.5);
    return h("td", { class: `${own(i, j) ? "own" : ""} ${best ? "best" : ""}`, style: `--strength:${depth.toFixed(3)}`, title: `thought ${i + 1} under picture ${j + 1}: log p ${short(value)} a token, ${gap >= 0 ? "+" : ""}${short(gap)} against its own` }, best ? "●" : "");
  };
  const rows = probe.scores.map((row, i) => h("tr", {}, h("th", { scope: "row", class: "model", title: plain(probe.thoughts?.[i] ?? "") }, h("span", {}, `${i + 1} `, visible(probe.thoughts?.[i] ?? ""))), row.map((value, j) => cell(value, i, j))));
  return [
    h("p", {}, `Each row is a thought, each column a prompt with its picture; the darker, the likelier the thought is there. ● marks where a thought is likeliest, frames mark its own picture (or an equal state). ● inside the frames: thoughts depend on the picture, be they right or wrong. Here ${hits} of ${counted(n, "thought")} belong to their own picture; at chance it would be about ${short(n * chance(probe.states), 1)}. ${passed(probe.checks ?? []) ? `By the task's own checks, ${passed(probe.checks)}.` : "Whether they are right is not known here."}`),
    bar,
    h("div", { class: "wide" }, h("table", { class: "matrix" }, h("thead", {}, h("tr", {}, h("td", {}), probe.scores.map((_, j) => h("th", { scope: "col" }, picture(j))))), h("tbody", {}, rows))),
  ];
}

function chance(states) {
  return states.reduce((sum, state) => sum + states.filter((other) => other === state).length / states.length, 0) / states.length;
}
