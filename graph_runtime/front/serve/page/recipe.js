// The recipe that a picture made by inlay carries, and the files of this browser's uploads by digest.
import { readText } from "./png.js";

const MOST = 300;
const KEY = "inlay-files";

/** The record in a picture's bytes: {workflow, files}; null if there is none. PNG holds it in a text, JPEG and WebP in EXIF. */
export async function readRecipe(bytes) {
  const text = (await readText(bytes, "inlay")) ?? described(bytes);
  try {
    const record = JSON.parse(text);
    return record?.workflow?.nodes ? record : null;
  } catch {
    return null;
  }
}

/** ImageDescription of the first EXIF block. */
function described(bytes) {
  const start = find(bytes, "Exif\0\0") ?? find(bytes, "EXIF", 8);
  if (start === null || start + 8 > bytes.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + start), little = view.getUint16(0) === 0x4949;
  try {
    const first = view.getUint32(4, little), count = view.getUint16(first, little);
    for (let at = first + 2; at < first + 2 + count * 12; at += 12) {
      if (view.getUint16(at, little) !== 0x010e) continue;
      const length = view.getUint32(at + 4, little), from = start + view.getUint32(at + 8, little);
      return new TextDecoder().decode(bytes.subarray(from, from + length)).replace(/\0+$/, "");
    }
  } catch {
    return null; // it points outside
  }
  return null;
}

function find(bytes, word, beyond = word.length) {
  const letters = [...word].map((letter) => letter.charCodeAt(0)), end = Math.min(bytes.length, 2 ** 26);
  for (let at = bytes.indexOf(letters[0]); at >= 0 && at < end; at = bytes.indexOf(letters[0], at + 1)) {
    if (letters.every((letter, number) => bytes[at + number] === letter)) {
      return at + beyond + (word === "EXIF" && bytes[at + 8] === 69 ? 6 : 0); // WebP may repeat "Exif\0\0"
    }
  }
  return null;
}

/** What each input of a recipe stands for: {name: {value, kind, file}}; a file is {name, digest}. */
export function inputsOf({ workflow, files }) {
  return Object.entries(workflow.inputs ?? {}).map(([name, targets]) => {
    const [target] = [targets].flat(), [node, parameter] = target.split(".");
    return { name, value: workflow.nodes[node]?.params?.[parameter] ?? null, file: files?.[target] ?? null };
  });
}

/** SHA-256 as hexadecimal digits; null where the browser has none (only on secure addresses and this machine). */
export async function digestOf(bytes) {
  if (!crypto.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Note which upload holds a file of a digest. */
export function remember(digest, value) {
  if (!digest) return;
  const known = all().filter(([one]) => one !== digest);
  known.push([digest, value]);
  try {
    localStorage.setItem(KEY, JSON.stringify(known.slice(-MOST)));
  } catch {
    // no storage: recipes then ask for their files
  }
}

/** The value {upload} or {result} that holds a file of a digest; null if none is known. */
export function recall(digest) {
  return all().find(([one]) => one === digest)?.[1] ?? null;
}

function all() {
  try {
    const known = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(known) ? known : [];
  } catch {
    return [];
  }
}
