// The page: a photo, a mask painted over it, settings, and runs on the server.
import { welcome } from "./arrivals.js";
import { Comparison } from "./comparison.js";
import { Form, capital, element, plain } from "./form.js";
import { History } from "./history.js";
import { Mask, union } from "./mask.js";
import { openMaskFile, saveMask } from "./mask_file.js";
import { Objects } from "./objects.js";
import { openFile, openRecipe, openRun, photoOf } from "./photo.js";
import { Results } from "./results.js";
import { Runner } from "./runner.js";
import { Refused, get } from "./server.js";
import { TOOLS, Tools } from "./tools.js";
import { View } from "./view.js";

const $ = (selector) => document.querySelector(selector);
const stage = $("#stage");
const view = new View({ stage, photo: $("#photo"), after: $("#after"), overlay: $("#overlay"), guides: $("#guides") });
const worker = new Worker(new URL("weights_worker.js", import.meta.url), { type: "module" });
const state = { photo: null, mask: null, weights: null, tool: "brush", size: 48, comparing: null, workflow: "inpaint", recipe: null };

// what is said and shown

function say(text) {
  $("#live").textContent = text;
}

function show(problems, notes = []) {
  const place = $("#problems"), rows = [];
  for (const { node, port, found, expected, fix } of problems) {
    const row = element("p"), where = [node, port].filter(Boolean).join(", ");
    row.append(element("strong", { textContent: where ? `${plain(where)}: ` : "" }), `found ${plain(found)}`);
    if (expected) row.append(`; expected ${plain(expected)}`);
    if (fix) row.append(element("br"), element("strong", { textContent: "Fix: " }), plain(fix));
    rows.push(row);
  }
  place.replaceChildren(...rows);
  $("#notes").replaceChildren(...notes.map((text) => element("p", { textContent: capital(plain(text)) })));
  const field = form.complain(problems);
  if (problems.length) (field ?? place).focus();
}

function failed(error) {
  if (!(error instanceof Refused)) console.error(error);
  const unknown = [{ found: error.message, expected: "", fix: "reload the page; uploads and results stay on the server" }];
  show(error instanceof Refused ? error.problems : unknown);
}

// the photo and its mask

function setPhoto(photo, picture = null) {
  const same = state.photo && photo.width === state.photo.width && photo.height === state.photo.height;
  state.photo = photo;
  results.clear();
  objects.clear();
  if (!same || !photo.keepsMask) newMask(photo);
  const shown = $("#photo");
  shown.src = picture ?? photo.url;
  shown.hidden = false;
  $("#start").hidden = true;
  $("#name").textContent = `${photo.name} · ${photo.width} × ${photo.height}`;
  stage.setAttribute("aria-label", `Picture ${photo.name}, ${photo.width} by ${photo.height} pixels`);
  view.show(photo.width, photo.height, state.mask, state.weights);
  setSize(Math.max(4, Math.round(Math.max(photo.width, photo.height) / 20)), 8);
  refresh();
  say(`${photo.name} is open. Paint over what should go.`);
  stage.focus({ preventScroll: true });
}

function newMask({ width, height }) {
  state.mask = new Mask(width, height);
  state.weights = new Uint8Array(width * height);
  worker.postMessage({ kind: "photo", width, height });
  sendSettings();
  state.unsent = null;
  state.mask.changed = (rect) => {
    view.changed(rect);
    if (!state.unsent) setTimeout(sendPaint, 50);
    state.unsent = union(state.unsent, rect);
    stage.dataset.settled = "false";
  };
}

/** Tell the worker what was painted. */
function sendPaint() {
  const rect = state.unsent;
  state.unsent = null;
  if (!rect) return;
  const bytes = state.mask.part(rect);
  worker.postMessage({ kind: "paint", rect, bytes }, [bytes.buffer]);
}

worker.addEventListener("message", ({ data }) => {
  stage.dataset.settled = String(data.kind === "settled" && !state.unsent);
  if (data.kind !== "weights" || data.width !== state.mask.width || data.height !== state.mask.height) return;
  const { rect, bytes } = data, wide = rect.right - rect.left;
  for (let y = rect.top; y < rect.bottom; y++) {
    const at = (y - rect.top) * wide;
    state.weights.set(bytes.subarray(at, at + wide), y * data.width + rect.left);
  }
  view.changed(rect);
});

/** Tell the worker by how much the hole grows: the recipe of a picture says it whole, `inpaint` adds the feather. */
function sendSettings() {
  const feather = form.number("feather"), grow = form.number("grow");
  stage.dataset.settled = "false";
  const reach = state.workflow === "inpaint" ? grow + feather : grow;
  worker.postMessage({ kind: "settings", reach: Math.min(4096, reach), feather: Math.min(1024, feather) });
}

function refresh() {
  $("#undo").disabled = !state.mask?.done.length;
  $("#redo").disabled = !state.mask?.undone.length;
  for (const id of ["hide", "invert", "clear", "save-mask", "open-mask", "zoom", "in", "out"]) $(`#${id}`).disabled = !state.mask;
}

function step(words) {
  refresh();
  say(words);
}

// tools

const host = {
  view,
  get mask() { return state.mask; },
  get tool() { return state.comparing ? "hand" : state.tool; },
  get size() { return state.size; },
  say,
  finished: step,
  pick: (x, y, value) => objects.pick(x, y, value),
  ring,
  draft,
};
new Tools(stage, host);
const comparison = new Comparison({ view, state, host });
const compare = (result) => comparison.show(result);

function ring(x, y) {
  const circle = $("#ring"), brushes = ["brush", "eraser"].includes(host.tool);
  circle.hidden = x === null || host.tool === "hand";
  if (circle.hidden) return;
  const wide = brushes ? Math.max(6, state.size * view.scale) : 26, [left, top] = view.toStage(x, y);
  circle.classList.toggle("point", !brushes || wide < 14);
  circle.style.width = circle.style.height = `${wide}px`;
  circle.style.transform = `translate(${left - wide / 2}px, ${top - wide / 2}px)`;
}

function draft(tool, points) {
  $("#draft")?.remove();
  if (!tool) return;
  const shape = document.createElementNS("http://www.w3.org/2000/svg", tool === "lasso" ? "polyline" : "rect");
  shape.id = "draft";
  if (tool === "lasso") shape.setAttribute("points", points.map(([x, y]) => `${x + 0.5},${y + 0.5}`).join(" "));
  else {
    const [[x0, y0], [x1, y1]] = [points[0], points.at(-1)];
    const place = { x: Math.min(x0, x1) + 0.5, y: Math.min(y0, y1) + 0.5, width: Math.abs(x1 - x0), height: Math.abs(y1 - y0) };
    for (const [name, value] of Object.entries(place)) shape.setAttribute(name, value);
  }
  $("#guides").append(shape);
}

function setTool(tool) {
  state.tool = tool;
  if (state.comparing) compare(null);
  for (const button of $("#tools").children) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  stage.classList.toggle("hand", tool === "hand");
  $("#found").hidden = tool !== "object";
  stage.classList.toggle("things", tool === "object");
  if (tool === "object") $("#found").scrollIntoView({ block: "nearest" });
  say(TOOLS[tool]);
}

function setSize(size, most = 1) {
  const largest = Number($("#size").max);
  state.size = Math.max(1, Math.min(largest, Math.round(size)));
  if (most > 1) $("#size").max = Math.max(400, Math.round(Math.max(state.photo.width, state.photo.height) / most));
  $("#size").value = state.size;
  $("#size-shown").textContent = `${state.size} px`;
}

/** What changes the mask, or shows it: the comparison, which hides it, ends first. */
function painting(act) {
  return () => {
    if (!state.mask) return;
    if (state.comparing) compare(null);
    act();
  };
}

const actions = {
  undo: painting(() => state.mask.undo() && step("Undone")),
  redo: painting(() => state.mask.redo() && step("Done again")),
  in: () => view.zoom(1.25),
  out: () => view.zoom(0.8),
  zoom: () => view.fit(),
  hide: painting(() => {
    view.hidden = !view.hidden;
    $("#hide").setAttribute("aria-pressed", String(view.hidden));
    view.redraw();
    say(view.hidden ? "Mask hidden" : "Mask shown");
  }),
  invert: painting(() => {
    state.mask.invert();
    step("Inverted");
  }),
  clear: painting(() => {
    state.mask.clear();
    step("Cleared");
  }),
  "save-mask": () => saveMask(state.mask, state.photo).catch(failed),
};
for (const [id, act] of Object.entries(actions)) $(`#${id}`).addEventListener("click", act);
for (const button of $("#tools").children) button.addEventListener("click", () => setTool(button.dataset.tool));
$("#size").addEventListener("input", ({ target }) => setSize(Number(target.value)));
view.onmove = () => {
  $("#zoom").textContent = `${Math.round(view.scale * 100)} %`;
  comparison.split();
};

const KEYS = {
  b: () => setTool("brush"), e: () => setTool("eraser"), l: () => setTool("lasso"), r: () => setTool("rectangle"),
  o: () => setTool("object"), h: () => setTool("hand"), m: actions.hide, i: actions.invert, Delete: actions.clear,
  "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.zoom,
  "[": () => setSize(Math.min(state.size - 1, state.size * 0.8)), "]": () => setSize(Math.max(state.size + 1, state.size * 1.25)),
};
stage.addEventListener("keydown", (event) => {
  if (!state.mask || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.defaultPrevented) return;
  event.preventDefault();
  act();
  if (event.key === "[" || event.key === "]") say(`${state.size} pixels`);
});
// By pointer, the frame around the focused picture would only be in the way.
addEventListener("pointerdown", () => (document.body.dataset.by = "pointer"), true);
addEventListener("keydown", ({ key }) => /^(Tab|Arrow.*)$/.test(key) && (document.body.dataset.by = "keys"), true);
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey)) return;
  const typing = event.target.matches("textarea, input:not([type=range]):not([type=checkbox]):not([type=file])");
  const key = event.key.toLowerCase();
  if (key === "enter") runner.start();
  else if (typing) return;
  else if (key === "z" && event.shiftKey) actions.redo();
  else if (key === "z") actions.undo();
  else if (key === "y") actions.redo();
  else return;
  event.preventDefault();
});

// settings and runs

const form = new Form({
  place: $("#fields"),
  more: $("#more"),
  models: $("#models"),
  changed: (name) => ["grow", "feather"].includes(name) && sendSettings(),
  addFile: async (file) => {
    try {
      const { ref, thumbnail } = await photoOf(file);
      return { ...ref, thumbnail };
    } catch (error) {
      failed(error);
      return null;
    }
  },
});
const results = new Results({ compare, goOn, say });
const objects = new Objects(
  {
    photo: () => state.photo?.ref ?? null,
    paint: ({ left, top, right, bottom }, value) => {
      state.mask.begin();
      state.mask.rectangle(left, top, right, bottom, value);
      state.mask.end();
      refresh();
    },
    failed,
    say,
  },
  $("#guides"),
);
const runner = new Runner({ state, form, results, show, failed, say });
new History({ open: openOld, failed });

async function goOn(result, run) {
  const photo = { ref: { result: `${run.id}/${result.number}` }, name: result.name, url: result.url };
  setPhoto({ ...photo, width: result.width, height: result.height });
}

/** Choose a shipped workflow, or show the one that a recipe holds. */
async function setWorkflow(name, recipe = null) {
  state.workflow = name;
  state.recipe = recipe;
  const { inputs, title } = recipe ? await openRecipe(recipe) : await get(`workflows/${encodeURIComponent(name)}`);
  form.show(inputs);
  $("#more-settings").hidden = !$("#more").children.length;
  $("#about").textContent = recipe ? "As in the picture, to the same bytes, until you change something." : title;
  show([]);
  if (state.mask) sendSettings();
}

$("#workflow").addEventListener("change", ({ target }) => {
  const held = target.value === "recipe" ? target.selectedOptions[0].recipe : null;
  setWorkflow(target.value, held).catch(failed);
});
$("#panel").addEventListener("submit", (event) => {
  event.preventDefault();
  runner.start();
});

// opening

async function open(file) {
  say(`Opening ${file.name ?? "the picture"}`);
  show([]);
  try {
    await unfold(await openFile(file), file.name);
  } catch (error) {
    failed(error);
  }
}

/** Show what was opened: a photo, and with a recipe its settings and its mask. */
async function unfold({ photo, picture, recipe, mask, missing }, name) {
  if (recipe) {
    $("#workflow .recipe")?.remove();
    const option = element("option", { value: "recipe", className: "recipe", textContent: `Recipe of ${name}` });
    option.recipe = recipe;
    $("#workflow").append(option);
    $("#workflow").value = "recipe";
    await setWorkflow("recipe", recipe);
  }
  if (photo) setPhoto(photo, picture);
  if (mask && mask.width === photo?.width && mask.height === photo.height) {
    state.mask.replace(mask.data);
    refresh();
  }
  if (recipe) say(`The recipe of ${name} is open.`);
  show([], missing);
}

/** Show a run of the history: what it was made of, and its results. */
async function openOld(run) {
  try {
    const whole = await get(`runs/${run.id}`);
    const before = await openRun(whole), [first] = whole.results;
    if (!before.photo && first?.width) before.photo = { ref: { result: `${run.id}/${first.number}` }, ...first };
    await unfold(before, first?.name ?? whole.title);
    runner.reopen(whole);
  } catch (error) {
    failed(error);
  }
}

/** Take the mask in a picture file in place of what is painted. */
async function openMask(file) {
  say(`Reading the mask in ${file.name}`);
  show([]);
  try {
    const { data, warnings } = await openMaskFile(file, state.photo);
    if (state.comparing) compare(null);
    state.mask.replace(data);
    step(`${file.name} is the mask now.`);
    show([], warnings);
  } catch (error) {
    failed(error);
  }
}

welcome({ hasPhoto: () => Boolean(state.mask), open, openMask });
$("#sample").addEventListener("click", async () => {
  try {
    const answer = await fetch("page/sample.jpg");
    await open(new File([await answer.blob()], "photo.jpg", { type: "image/jpeg" }));
  } catch (error) {
    failed(error);
  }
});
addEventListener("beforeunload", (event) => state.mask?.done.length && !results.run && event.preventDefault());

refresh();
try {
  const { workflows } = await get("workflows");
  const names = workflows.map(({ name }) => name).filter((name) => !name.includes("train"));
  names.sort((one, other) => (other === "inpaint") - (one === "inpaint"));
  $("#workflow").replaceChildren(...names.map((name) => element("option", { value: name, textContent: capital(name) })));
  await setWorkflow("inpaint");
  const [{ models }, { editor }] = await Promise.all([get("models"), get("status")]);
  $("#editor").hidden = !editor;
  $("#models").replaceChildren(...models.map(({ name }) => element("option", { value: name })));
  $("#detector").value = models.some(({ name }) => name === "facebook/detr-resnet-50") ? "facebook/detr-resnet-50" : "dollhouse-detector";
  document.body.dataset.ready = "true";
} catch (error) {
  failed(error);
}
