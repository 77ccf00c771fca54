// All episodes of all runs as rows, added up from the parts that lie in each update; filtered and sorted here.

export const OUTCOMES = { won: "won", lost: "lost", truncated: "cut by the time limit", stopped: "stopped by the corrector", aborted: "broken off", running: "not ended" };

/** Rows of episodes, filled part by part. */
export class Episodes {
  constructor() {
    this.rows = [];
    this.places = new Map();
    this.thoughts = new Map(); // "run/update" -> how often which thoughts were thought
    this.kinds = new Set();
  }

  /** Takes in an update's parts of a run; `ringing` says whether the alarm rang there. */
  add(run, update, columns, thoughts, ringing, kept) {
    if (thoughts) this.thoughts.set(`${run}/${update}`, thoughts);
    for (let i = 0; i < columns.env.length; i++) {
      const place = `${run}/${columns.env[i]}/${columns.episode[i]}`;
      let row = this.places.get(place);
      if (!row) {
        row = { run, env: columns.env[i], episode: columns.episode[i], parts: [], first: columns.first[i], turns: 0, reward: 0, judged: 0, corrected: 0, illegal: 0, tokens: 0, logprob: 0, kind: columns.kind[i], played: thoughts ? "training" : "evaluation", alarm: false, kept: false };
        this.places.set(place, row);
        this.rows.push(row);
        if (row.kind) this.kinds.add(row.kind);
      }
      if (row.parts.includes(update)) continue;
      row.parts.push(update);
      row.update = update;
      for (const name of ["turns", "reward", "judged", "corrected", "illegal", "tokens", "logprob"]) row[name] += columns[name][i];
      const ending = columns.ending[i];
      row.outcome = columns.success[i] ? "won" : ending === "terminated" ? "lost" : ending;
      row.surprise = row.tokens ? -row.logprob / row.tokens : 0;
      row.alarm ||= ringing;
      row.kept ||= kept ? kept.has(`${update}/${columns.env[i]}/${columns.episode[i]}`) : true;
    }
  }

  /** Forgets an update and everything after it: a run that was resumed writes it anew. */
  clear() {
    this.rows.length = 0;
    this.places.clear();
    this.thoughts.clear();
  }

  find(run, env, episode) {
    return this.places.get(`${run}/${env}/${episode}`);
  }

  /** The rows that pass the filters, in the order asked for. */
  chosen(filters, found) {
    const from = filters.from === "" ? -Infinity : Number(filters.from);
    const to = filters.to === "" ? Infinity : Number(filters.to);
    const rows = this.rows.filter(
      (row) =>
        (filters.run === "" || row.run === Number(filters.run)) &&
        (filters.outcome === "" || row.outcome === filters.outcome) &&
        (filters.kind === "" || row.kind === filters.kind) &&
        row.update >= from &&
        row.update <= to &&
        (filters.alarm === "" || row.alarm === (filters.alarm === "yes")) &&
        (filters.corrected === "" || row.corrected > 0 === (filters.corrected === "yes")) &&
        (filters.played === "" || row.played === filters.played) &&
        (filters.text === "" || found.has(`${row.run}/${row.env}/${row.episode}`)) &&
        (filters.kept === "" || row.kept),
    );
    const key = filters.sort;
    const sign = filters.down === "yes" ? -1 : 1;
    // Stable: equal ones stay in the order of play. Runs stand in the order of their numbers, outcomes by name.
    return rows.sort((a, b) => sign * (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0));
  }
}

export const NO_FILTERS = { text: "", played: "", run: "", outcome: "", kind: "", from: "", to: "", alarm: "", corrected: "", kept: "", sort: "update", down: "" };
