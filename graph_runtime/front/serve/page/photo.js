// From a file to a photo on the server; the file's own bytes are sent, and a recipe in it is read.
import { readMask } from "./png.js";
import { digestOf, inputsOf, readRecipe, recall, remember } from "./recipe.js";
import { Refused, get, root, upload } from "./server.js";

/** Send a file. Returns {ref, name, url, thumbnail, width, height}; `ref` is what a run takes. */
export async function photoOf(file, bytes = null) {
  const sent = await upload(file, file.name);
  if (sent.width === undefined) throw new Refused(0, [{ found: "no picture", expected: "a picture", fix: "choose another" }]);
  remember(await digestOf(bytes ?? (await file.arrayBuffer())), { upload: sent.id });
  const { width, height, url, thumbnail } = sent;
  return { ref: { upload: sent.id }, name: file.name ?? "photo", url, thumbnail, width, height };
}

/** Open a file. Returns {photo, picture, recipe, mask, missing}; `picture` is what the browser shows. */
export async function openFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer()), recipe = await readRecipe(bytes);
  const own = await photoOf(file, bytes);
  if (!recipe) return { photo: own, picture: await shown(file, own), recipe: null, mask: null, missing: [] };
  const files = Object.fromEntries(inputsOf(recipe).filter(({ file: one }) => one).map(({ name, file: one }) => [name, one]));
  const missing = [], found = {};
  for (const [name, one] of Object.entries(files)) {
    found[name] = recall(one.digest);
    if (!found[name]) missing.push(`The recipe's ${name}, ${one.name}, is not known here.`);
  }
  recipe.found = found;
  recipe.upload = own.ref.upload;
  const before = found.image ? await known(found.image, files.image.name) : null;
  if (files.image && !before) missing.push("The picture itself is opened in its place.");
  const mask = found.mask ? await readMask(new Uint8Array(await bytesOf(found.mask))) : null;
  const photo = before ?? own;
  return { photo, picture: before ? await shownAt(before) : await shown(file, own), recipe, mask, missing };
}

/** Open what a run was made of. Returns the same as `openFile`; `photo` is null if it is gone. */
export async function openRun(run) {
  const workflow = await get(`runs/${run.id}/workflow`), files = {}, found = {};
  for (const [name, targets] of Object.entries(workflow.inputs ?? {})) {
    const [target] = [targets].flat(), [node, parameter] = target.split("."), value = workflow.nodes[node]?.params?.[parameter];
    const held = typeof value === "string" ? await heldBy(value) : null;
    if (!held) continue;
    files[target] = { name: value.split("/").pop() };
    found[name] = held;
  }
  const photo = found.image ? await known(found.image, nameOf(files, workflow, "image")) : null;
  const mask = found.mask ? await readMask(new Uint8Array(await bytesOf(found.mask))) : null;
  return { photo, picture: photo && (await shownAt(photo)), recipe: { workflow, files, found }, mask, missing: [] };
}

function nameOf(files, workflow, input) {
  return files[[workflow.inputs[input]].flat()[0]].name;
}

/** {upload} or {result} of a path that a run reads on the server. */
async function heldBy(path) {
  const [folder, name] = path.split("/"), run = /^\d{5,}-(.+)$/.exec(folder)?.[1];
  if (!name) return null;
  if (/^[0-9a-f]{16}$/.test(folder)) return { upload: folder };
  if (!run) return null;
  const number = (await get(`runs/${run}`)).results.find((result) => result.name === name)?.number;
  return number ? { result: `${run}/${number}` } : null;
}

/** A recipe as a workflow with inputs for the form. */
export async function openRecipe(recipe) {
  const inputs = [];
  for (const { name, value, file } of inputsOf(recipe)) {
    const kind = file ? "file" : typeof value === "boolean" ? "switch" : typeof value === "number" ? "number" : "text";
    inputs.push({ name, kind, default: file ? null : value, doc: file ? `In the recipe: ${file.name}` : "" });
  }
  return { inputs, title: recipe.workflow.title };
}

async function bytesOf(value) {
  return (await fetch(root + placeOf(value))).arrayBuffer();
}

function placeOf(value) {
  if (value.upload) return `uploads/${value.upload}`;
  const [run, number] = value.result.split("/");
  return `runs/${run}/results/${number}`;
}

/** A photo that the server has already; null if it is gone. */
async function known(value, name) {
  const url = root + placeOf(value);
  try {
    if (value.result) {
      const [id, number] = value.result.split("/"), run = await get(`runs/${id}`);
      const { width, height, thumbnail } = run.results.find((one) => one.number === Number(number));
      return { ref: value, name, url, thumbnail, width, height };
    }
    const { id, ...facts } = await get(`uploads/${value.upload}/facts`);
    return { ref: value, name, url, thumbnail: facts.thumbnail, width: facts.width, height: facts.height };
  } catch {
    return null;
  }
}

/** What the browser shows of a photo: the file itself, or the server's small copy where it cannot show that as it is. */
function shown(blob, photo) {
  return shownAt({ ...photo, url: URL.createObjectURL(blob) });
}

async function shownAt({ url, thumbnail, width, height }) {
  const picture = new Image();
  picture.src = url;
  try {
    await picture.decode();
  } catch {
    return thumbnail;
  }
  if (picture.naturalWidth !== width || picture.naturalHeight !== height) return thumbnail;
  return (await isTurned(picture, thumbnail)) ? thumbnail : url;
}

/** Whether the browser shows a picture turned or mirrored: it does not know the orientation in some formats. */
async function isTurned(picture, thumbnail) {
  const small = new Image();
  small.src = thumbnail;
  try {
    await small.decode();
  } catch {
    return false;
  }
  const one = greys(picture), other = greys(small), last = SIDE - 1;
  const ways = [(x, y) => [x, y], (x, y) => [last - x, y], (x, y) => [x, last - y], (x, y) => [last - x, last - y]];
  const apart = [...ways, ...ways.map((way) => (x, y) => way(y, x))].map((way) => {
    let sum = 0;
    for (let at = 0; at < SIDE * SIDE; at++) {
      const [x, y] = way(at % SIDE, Math.floor(at / SIDE));
      sum += Math.abs(one[at] - other[y * SIDE + x]);
    }
    return sum;
  });
  return Math.min(...apart.slice(1)) < 0.7 * apart[0];
}

const SIDE = 48;

/** A picture as SIDE × SIDE greys. */
function greys(picture) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, SIDE, SIDE);
  const { data } = pen.getImageData(0, 0, SIDE, SIDE);
  return Float32Array.from({ length: SIDE * SIDE }, (_, at) => data[at * 4] + data[at * 4 + 1] + data[at * 4 + 2]);
}
