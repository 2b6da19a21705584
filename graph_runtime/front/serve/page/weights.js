// What a run makes of a mask: grown by a round brush, its border softened inward, as mask.grow and image.stitch do.
// `reach` is by how much it grows; the ramp is s(d / (feather + 1)), s(t) = 3t² − 2t³, over the depth d in the hole.

/** The ramp by squared depth, in 32-bit floats: index d², up to (feather + 1)². */
export function ramp(feather) {
  const table = new Float32Array((feather + 1) * (feather + 1) + 1);
  for (let squared = 0; squared < table.length; squared++) {
    const t = Math.min(1, Math.sqrt(squared) / (feather + 1));
    table[squared] = t * t * (3 - 2 * t);
  }
  return table;
}

/** A weight as a byte: 0 only for 0, 255 only for 1. */
export function byteOf(weight) {
  if (weight <= 0) return 0;
  return weight >= 1 ? 255 : Math.max(1, Math.min(254, Math.round(weight * 255)));
}

/** Squared depth in the grown hole (0 outside; at most (feather + 1)²) of a rectangle of the mask. */
export function depths(mask, width, height, rect, reach, feather) {
  const soft = feather + 1;
  const area = widened(rect, soft, width, height), around = widened(area, reach, width, height);
  const near = squared(mask, width, around, reach, true);
  const wide = area.right - area.left, tall = area.bottom - area.top;
  const grown = new Uint8Array(wide * tall);
  let some = false;
  for (let y = 0; y < tall; y++) {
    const row = (y + area.top - around.top) * (around.right - around.left) + area.left - around.left;
    for (let x = 0; x < wide; x++) {
      if (near[row + x] <= reach * reach) {
        grown[y * wide + x] = 255;
        some = true;
      }
    }
  }
  const out = new Int32Array((rect.right - rect.left) * (rect.bottom - rect.top));
  if (!some) return out;
  const inner = squared(grown, wide, { left: 0, top: 0, right: wide, bottom: tall }, soft, false);
  for (let y = rect.top, at = 0; y < rect.bottom; y++) {
    const row = (y - area.top) * wide - area.left;
    for (let x = rect.left; x < rect.right; x++, at++) out[at] = Math.min(soft * soft, inner[row + x]);
  }
  return out;
}

/** The rectangle with a margin, within the photo. */
export function widened({ left, top, right, bottom }, margin, width, height) {
  return {
    left: Math.max(0, left - margin),
    top: Math.max(0, top - margin),
    right: Math.min(width, right + margin),
    bottom: Math.min(height, bottom + margin),
  };
}

/** Squared distance of each pixel of a part to the nearest that is marked (or not); above reach², any larger number.
 * Exact: columns first, then the lower envelope of parabolas along each row (Meijster, Roerdink, Hesselink 2000). */
function squared(mask, stride, part, reach, marked) {
  const wide = part.right - part.left, tall = part.bottom - part.top, far = reach + 1;
  const out = new Int32Array(wide * tall);
  for (let x = 0; x < wide; x++) {
    let gap = far;
    for (let y = 0, at = x; y < tall; y++, at += wide) {
      gap = mask[(y + part.top) * stride + part.left + x] > 0 === marked ? 0 : Math.min(far, gap + 1);
      out[at] = gap;
    }
    gap = far;
    for (let y = tall - 1, at = (tall - 1) * wide + x; y >= 0; y--, at -= wide) {
      gap = Math.min(out[at], gap + 1);
      out[at] = gap * gap;
    }
  }
  const line = new Int32Array(wide), from = new Int32Array(wide), begins = new Int32Array(wide);
  for (let y = 0; y < tall; y++) {
    const row = out.subarray(y * wide, (y + 1) * wide);
    if (row.some((value) => value <= reach * reach)) envelope(row, line, from, begins);
  }
  return out;
}

function envelope(row, line, from, begins) {
  const wide = row.length;
  line.set(row);
  let top = 0;
  from[0] = begins[0] = 0;
  for (let u = 1; u < wide; u++) {
    while (top >= 0) {
      const at = begins[top], i = from[top];
      if ((at - i) * (at - i) + line[i] <= (at - u) * (at - u) + line[u]) break;
      top--;
    }
    if (top < 0) {
      top = 0;
      from[0] = u;
      continue;
    }
    const i = from[top], next = 1 + Math.floor((u * u - i * i + line[u] - line[i]) / (2 * (u - i)));
    if (next < wide) {
      top++;
      from[top] = u;
      begins[top] = next;
    }
  }
  for (let u = wide - 1; u >= 0; u--) {
    const i = from[top];
    row[u] = (u - i) * (u - i) + line[i];
    if (u === begins[top]) top--;
  }
}
