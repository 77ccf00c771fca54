// Where one is and what one has chosen, in the page's address: it survives a reload and can be sent to others.

/** The view, the place in it, and everything chosen, of any view. */
export function readAddress() {
  const [path, query = ""] = location.hash.split("?");
  const [, view = "overview", ...place] = path.split("/");
  return { path, view, place, chosen: new URLSearchParams(query) };
}

/** The address of a place that keeps what was chosen. */
export function addressOf(path) {
  const { chosen } = readAddress();
  return chosen.size ? `${path}?${chosen}` : path;
}

/** Something chosen; `otherwise` where nothing was. */
export function chosen(name, otherwise = "") {
  return readAddress().chosen.get(name) ?? otherwise;
}

/** Writes a choice into the address without going anywhere; what is chosen anyway leaves it. */
export function choose(name, value, otherwise = "") {
  const { path, chosen } = readAddress();
  if (String(value) === String(otherwise)) chosen.delete(name);
  else chosen.set(name, value);
  history.replaceState(null, "", (path || "#/overview") + (chosen.size ? `?${chosen}` : ""));
}
