// Where the page's numbers come from: the server that reads the run folder, or what an exported file holds in itself.

/** Data from a running `gtr show`; answers that were given are kept until the runs change. */
class Served {
  constructor() {
    this.kept = new Map();
    this.exported = false;
  }

  async get(kind, ...place) {
    const path = ["api", kind, ...place].join("/");
    if (!this.kept.has(path)) {
      const answer = fetch(path).then((response) => {
        if (!response.ok) throw new Error(`${path}: ${response.status} ${response.statusText}`);
        return response.json();
      });
      this.kept.set(path, answer);
      answer.catch(() => this.kept.delete(path));
    }
    return this.kept.get(path);
  }

  forget() {
    this.kept.clear();
  }

  image(run, name) {
    return `image/${run}/${encodeURIComponent(name)}`;
  }
}

/** Data inside an exported page, gzipped and written in base64. */
class Embedded {
  constructor(packed) {
    this.packed = packed;
    this.exported = true;
  }

  async open() {
    this.held = JSON.parse(await unpacked(this.packed));
    return this;
  }

  async get(kind, ...place) {
    const found = this.held.answers[[kind, ...place].join("/")];
    return found === undefined ? null : found;
  }

  forget() {}

  /** The episodes whose turns are in this file and in whose replies a text stands. */
  search(run, text) {
    const wanted = text.toLowerCase();
    const says = (turns) => turns.some((turn) => (turn.reply ?? "").toLowerCase().includes(wanted));
    const inside = Object.entries(this.held.answers).filter(([path, turns]) => /^(turns|play)\//.test(path) && path.split("/")[1] === String(run) && says(turns));
    return inside.map(([path]) => path.split("/")).map(([kind, , update, env, episode]) => (kind === "play" ? [`e${update}`, env] : [env, episode]));
  }

  image(run, name) {
    return this.held.images[name] ?? "data:,";
  }
}

/** The text behind gzip and base64. */
export async function unpacked(base64) {
  const bytes = Uint8Array.from(atob(base64.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** The page's source of data. */
export async function openData() {
  const packed = document.getElementById("packed-data");
  return packed ? new Embedded(packed.textContent).open() : new Served();
}
