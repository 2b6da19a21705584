// Reads and writes PNG files without a canvas, which would change colours and multiply by alpha.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CRC = Uint32Array.from({ length: 256 }, (_, number) => {
  for (let bit = 0; bit < 8; bit++) number = number & 1 ? 0xedb88320 ^ (number >>> 1) : number >>> 1;
  return number >>> 0;
});

/** A mask as a PNG file of one channel, 8 bits. */
export async function writeMask({ data, width, height }) {
  const rows = new Uint8Array((width + 1) * height); // each row begins with its filter: 0, none
  for (let y = 0; y < height; y++) rows.set(data.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13), view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 0, 0, 0, 0], 8); // bits, grey, deflate, filters, not interlaced
  const packed = await through(rows, new CompressionStream("deflate"));
  const parts = [Uint8Array.from(SIGNATURE), chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array())];
  return new Blob(parts, { type: "image/png" });
}

/** The mask in a PNG file that `writeMask` made, or in another grey one of 8 bits; null for any other file. */
export async function readMask(bytes) {
  const chunks = chunksOf(bytes), header = chunks?.find(({ type }) => type === "IHDR")?.data;
  if (!header) return null;
  const view = new DataView(header.buffer, header.byteOffset), width = view.getUint32(0), height = view.getUint32(4);
  if (header[8] !== 8 || header[9] !== 0 || header[12] !== 0) return null;
  const packed = new Blob(chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data));
  const rows = await through(packed, new DecompressionStream("deflate"));
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) unfilter(rows, y, width, data);
  return { width, height, data };
}

/** The text of a chunk with that keyword; null if there is none. */
export async function readText(bytes, keyword) {
  for (const { type, data } of chunksOf(bytes) || []) {
    const end = data.indexOf(0);
    if (!["tEXt", "zTXt", "iTXt"].includes(type) || latin(data.subarray(0, end)) !== keyword) continue;
    if (type === "tEXt") return latin(data.subarray(end + 1));
    if (type === "zTXt") return latin(await through(data.subarray(end + 2), new DecompressionStream("deflate")));
    const text = data.subarray(data.indexOf(0, data.indexOf(0, end + 3) + 1) + 1);
    const plain = data[end + 1] ? await through(text, new DecompressionStream("deflate")) : text;
    return new TextDecoder().decode(plain);
  }
  return null;
}

/** The bytes of a blob or an array after a stream of the browser. */
async function through(bytes, stream) {
  const blob = bytes instanceof Blob ? bytes : new Blob([bytes]);
  return new Uint8Array(await new Response(blob.stream().pipeThrough(stream)).arrayBuffer());
}

function chunk(type, data) {
  const whole = new Uint8Array(data.length + 12), view = new DataView(whole.buffer);
  view.setUint32(0, data.length);
  whole.set([...type].map((letter) => letter.charCodeAt(0)), 4);
  whole.set(data, 8);
  let crc = 0xffffffff;
  for (let at = 4; at < data.length + 8; at++) crc = CRC[(crc ^ whole[at]) & 255] ^ (crc >>> 8);
  view.setUint32(data.length + 8, (crc ^ 0xffffffff) >>> 0);
  return whole;
}

function chunksOf(bytes) {
  if (!SIGNATURE.every((value, at) => bytes[at] === value)) return null;
  const found = [], view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    found.push({ type: latin(bytes.subarray(at + 4, at + 8)), data: bytes.subarray(at + 8, at + 8 + length) });
    at += length + 12;
  }
  return found;
}

function latin(bytes) {
  return new TextDecoder("latin1").decode(bytes);
}

/** Row y of one byte a pixel, with its filter undone (PNG specification, 9.2). */
function unfilter(rows, y, width, out) {
  const kind = rows[y * (width + 1)], here = y * width, from = y * (width + 1) + 1;
  for (let x = 0; x < width; x++) {
    const left = x ? out[here + x - 1] : 0, up = y ? out[here + x - width] : 0;
    const corner = x && y ? out[here + x - width - 1] : 0;
    const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][kind];
    out[here + x] = rows[from + x] + guess;
  }
}

function paeth(left, up, corner) {
  const about = left + up - corner;
  const [one, two, three] = [left, up, corner].map((value) => Math.abs(about - value));
  if (one <= two && one <= three) return left;
  return two <= three ? up : corner;
}
