// Masks as files: one is read from any picture, with the server's help, and the painted one is saved.
import { readMask, writeMask } from "./png.js";
import { Refused, get, upload } from "./server.js";

/** The mask in a picture file, for a photo of this size. Returns {data, warnings}. */
export async function openMaskFile(file, { width, height }) {
  const sent = await upload(file, file.name);
  if (sent.width !== width || sent.height !== height) {
    const found = `a mask of ${sent.width} × ${sent.height} pixels`, expected = `${width} × ${height} pixels, as the photo`;
    throw new Refused(422, [{ node: file.name, found, expected, fix: "choose a mask of this photo, or open the file as a photo" }]);
  }
  const { mask, warnings } = await get(`uploads/${sent.id}/mask`);
  const bytes = Uint8Array.from(atob(mask.split(",")[1]), (letter) => letter.charCodeAt(0));
  return { data: (await readMask(bytes)).data, warnings: warnings.map(({ message }) => message) };
}

/** What a mask is called beside its photo. */
export function maskName(photo) {
  return `${(photo.name ?? "photo").replace(/\.[^.]*$/, "")}-mask.png`;
}

/** Download the mask as a PNG file of one channel. */
export async function saveMask(mask, photo) {
  const href = URL.createObjectURL(await writeMask(mask));
  const link = Object.assign(document.createElement("a"), { href, download: maskName(photo) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
