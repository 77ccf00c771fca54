// Elements and text. Whatever a model wrote reaches the page through `visible` or `plain`, never as markup.

// Marks that change or hide text around them: control characters, bidirectional and zero-width marks, tags.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/** An element with attributes and children; texts become text nodes. A function among the attributes is a listener. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style") element.style.cssText = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** How a hidden mark is written out: ESC as its picture, others by their number. */
export function markName(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

/** Text with its hidden marks written out, for places that take plain text only. */
export function plain(text) {
  return String(text).replace(HIDDEN, markName);
}

/** Text as nodes, with its hidden marks set apart so that they can be seen and change nothing. */
export function visible(text) {
  const parts = document.createDocumentFragment();
  const whole = String(text);
  let at = 0;
  for (const match of whole.matchAll(HIDDEN)) {
    parts.append(whole.slice(at, match.index));
    parts.append(h("span", { class: "mark", title: "a hidden mark of the text, written out" }, markName(match[0])));
    at = match.index + match[0].length;
  }
  parts.append(whole.slice(at));
  return parts;
}

/** Text for a chart, whose library reads a little markup. */
export function chartText(text) {
  return plain(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A value of a thought as a person writes it: texts as they are, lists without quotes where they are numbers. */
export function worded(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A number with few digits; a dash for what was not measured. */
export function short(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : String(Number(value.toFixed(digits)));
}

/** `1 turn`, `2 turns`. */
export function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A labelled control. */
export function labelled(label, control) {
  return h("label", { class: "control" }, h("span", {}, label), control);
}

/** A drop-down of [value, text] pairs. */
export function choice(options, chosen, change) {
  const select = h("select", { change: (event) => change(event.target.value) });
  for (const [value, text] of options) {
    select.append(h("option", { value, selected: String(value) === String(chosen) }, plain(text)));
  }
  return select;
}

/** Words, signs and spaces of a text, one by one. */
export function words(text) {
  return String(text).match(/\w+|\s+|[^\w\s]/gu) ?? [];
}

/** The difference of two texts word by word: a list of [kind, text], kind one of "same", "out", "in". */
export function wordDiff(before, after) {
  const [a, b] = [words(before), words(after)];
  if (a.length * b.length > 4e6) return [["out", before], ["in", after]];
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  const parts = [];
  const add = (kind, text) => {
    const last = parts.at(-1);
    if (last && last[0] === kind) last[1] += text;
    else parts.push([kind, text]);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) add("same", a[(i++, j++, i - 1)]);
    else if (i < a.length && (j === b.length || table[i + 1][j] >= table[i][j + 1])) add("out", a[i++]);
    else add("in", b[j++]);
  }
  return parts;
}

/** A word diff as nodes: <del> and <ins>, so that it can be read without colours too. */
export function diffNodes(before, after) {
  const tags = { same: "span", out: "del", in: "ins" };
  return wordDiff(before, after).map(([kind, text]) => h(tags[kind], {}, visible(text)));
}
