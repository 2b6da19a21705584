// Talks to the server's REST interface, version 1.

/** What the server, or the way to it, says is wrong. `problems` are {node, port, found, expected, fix, text}. */
export class Refused extends Error {
  constructor(status, problems) {
    super(problems.map((problem) => problem.found).join("; "));
    this.status = status;
    this.problems = problems;
  }
}

export const root = new URL("v1/", document.baseURI).pathname;

async function call(method, path, body, headers = {}) {
  let response;
  try {
    response = await fetch(root + path, { method, body, headers });
  } catch {
    const fix = "start inlay serve again; what is painted here stays";
    throw new Refused(0, [{ found: "the server does not answer", expected: "a running server", fix }]);
  }
  if (response.ok) return response;
  let problems;
  try {
    ({ problems } = await response.json());
  } catch {
    problems = null;
  }
  if (!Array.isArray(problems) || !problems.length) {
    problems = [{ found: `the server answers ${response.status}`, expected: "", fix: "look at its terminal" }];
  }
  throw new Refused(response.status, problems);
}

const json = { "Content-Type": "application/json" };

export async function get(path) {
  return (await call("GET", path)).json();
}

export async function post(path, body) {
  return (await call("POST", path, JSON.stringify(body), json)).json();
}

export async function remove(path) {
  await call("DELETE", path);
}

/** Send a file's own bytes. Returns {id, width, height, mode, url, thumbnail}. */
export async function upload(blob, name) {
  const headers = { "Content-Type": blob.type || typeOf(name) };
  if (name) headers["X-Filename"] = encodeURIComponent(name);
  return (await call("POST", "uploads", blob, headers)).json();
}

export const ENDS = ["done", "failed", "cancelled", "lost"];

/** Follow a run until it ends: `on(event)` gets each event; `lost` is one of them, where the server knows it no more.
 * Returns a function that stops following. */
export function follow(id, on) {
  const source = new EventSource(`${root}runs/${id}/events`);
  const hear = ({ data }) => {
    const event = JSON.parse(data);
    on(event);
    if (ENDS.includes(event.kind)) source.close();
  };
  source.onmessage = hear;
  source.onerror = () => source.readyState === EventSource.CLOSED && on({ run: id, kind: "lost" });
  return () => source.close();
}

const TYPES = {
  jpg: "jpeg", jpeg: "jpeg", png: "png", webp: "webp", tif: "tiff", tiff: "tiff", bmp: "bmp", gif: "gif",
  heic: "heic", avif: "avif",
};

function typeOf(name = "") {
  return `image/${TYPES[name.toLowerCase().split(".").pop()] ?? "png"}`;
}
