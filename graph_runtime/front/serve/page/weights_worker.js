// Computes the weights beside the page, in blocks; what changed last is computed anew first.
import { byteOf, depths, ramp, widened } from "./weights.js";

const BLOCK = 512;
let width = 0, height = 0, mask = null, reach = 0, feather = 0, table = [0, 255];
let waiting = new Set(), running = false;

addEventListener("message", ({ data }) => {
  if (data.kind === "photo") {
    ({ width, height } = data);
    mask = new Uint8Array(width * height);
    waiting = new Set();
  } else if (data.kind === "paint") {
    const { rect, bytes } = data, wide = rect.right - rect.left;
    for (let y = rect.top; y < rect.bottom; y++) {
      const at = (y - rect.top) * wide;
      mask.set(bytes.subarray(at, at + wide), y * width + rect.left);
    }
    wait(widened(rect, reach + feather + 1, width, height));
  } else if (data.kind === "settings") {
    ({ reach, feather } = data);
    table = Uint8Array.from(ramp(feather), byteOf);
    if (mask) wait({ left: 0, top: 0, right: width, bottom: height });
  }
});

function wait(rect) {
  for (let top = rect.top - (rect.top % BLOCK); top < rect.bottom; top += BLOCK) {
    for (let left = rect.left - (rect.left % BLOCK); left < rect.right; left += BLOCK) waiting.add(`${left},${top}`);
  }
  if (!running) {
    running = true;
    setTimeout(next);
  }
}

function next() {
  const [key] = waiting;
  if (key === undefined) {
    running = false;
    postMessage({ kind: "settled" });
    return;
  }
  waiting.delete(key);
  const [left, top] = key.split(",").map(Number);
  const rect = { left, top, right: Math.min(width, left + BLOCK), bottom: Math.min(height, top + BLOCK) };
  const found = depths(mask, width, height, rect, reach, feather);
  const bytes = new Uint8Array(found.length);
  for (let at = 0; at < found.length; at++) bytes[at] = table[found[at]];
  postMessage({ kind: "weights", width, height, rect, bytes }, [bytes.buffer]);
  setTimeout(next); // lets what was painted meanwhile come in first
}
