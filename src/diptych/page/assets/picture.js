// Files to pixels and back. Nothing here knows the page.

const LIMIT = { bytes: 200e6, pixels: 40e6, side: 16384 };

// First bytes of the kinds that browsers show. SVG is left out: it has no pixels, and may hold scripts.
const KINDS = [
  ["image/png", /^\x89PNG\r\n\x1a\n/], ["image/jpeg", /^\xff\xd8\xff/], ["image/gif", /^GIF8[79]a/],
  ["image/webp", /^RIFF....WEBP/s], ["image/bmp", /^BM/], ["image/avif", /^....ftypavi[fs]/s],
];

// The picture in `file`: its RGB on white, its transparency if it has any, and notes for the visitor.
// Throws an Error whose message is for the visitor.
export async function readPicture(file) {
  const name = file.name || "The picture";
  if (!file.size) throw new Error(`${name} is empty: choose another file.`);
  if (file.size > LIMIT.bytes) throw new Error(`${name} has ${Math.round(file.size / 1e6)} MB, and this page takes 200 MB: make it smaller.`);
  const head = new Uint8Array(await file.slice(0, 32).arrayBuffer());
  const start = String.fromCharCode(...head);
  const [type] = KINDS.find(([, pattern]) => pattern.test(start)) ?? [];
  if (!type) throw new Error(`${name} is not a picture that a browser reads: save it as PNG, JPEG, WebP, GIF, BMP or AVIF.`);
  const blob = new Blob([file], { type }), url = URL.createObjectURL(blob);
  try {
    const image = new Image();
    image.src = url; // reads the size; pixels are decoded later, so a huge picture is refused before it takes memory
    await new Promise((resolve, reject) => { image.onload = resolve; image.onerror = () => reject(damaged(name)); });
    const { naturalWidth: width, naturalHeight: height } = image;
    if (width * height > LIMIT.pixels || Math.max(width, height) > LIMIT.side) throw new Error(`${name} has ${width} × ${height} pixels, and this page takes 40 megapixels, and 16384 on a side: make it smaller.`);
    const bitmap = await createImageBitmap(blob).catch(() => { throw damaged(name); }); // upright, by its EXIF orientation
    const notes = [];
    if (type === "image/png" && head[24] === 16) notes.push("The file has 16 bits per value; the browser reads 8 of them.");
    if (type === "image/gif") notes.push("Of an animation, the first picture is translated.");
    return { name, notes, ...pixelsOf(bitmap, type !== "image/jpeg" && type !== "image/bmp") };
  } finally {
    URL.revokeObjectURL(url);
  }
}

const damaged = (name) => new Error(`${name} is damaged, or of a kind that this browser cannot read: choose another file.`);

// { width, height, rgba (composited on white), alpha (or null) } of a bitmap, which is closed.
function pixelsOf(bitmap, mayBeTransparent) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
  let alpha = null;
  if (mayBeTransparent) {
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    alpha = Uint8Array.from({ length: width * height }, (_, i) => data[4 * i + 3]);
    if (alpha.every((value) => value === 255)) alpha = null;
  }
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  if (rgba.at(-1) !== 255) throw new Error(`${width} × ${height} pixels are too many for this browser: make the picture smaller.`);
  return { width, height, rgba, alpha };
}

// RGBA as the values that a network takes: colour, or its luma (as in diptych/data/image.py).
export function toChannels(rgba, channels) {
  const values = new Uint8Array(rgba.length / 4 * channels);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    if (channels === 1) values[j++] = Math.round(0.299 * rgba[i] + 0.587 * rgba[i + 1] + 0.114 * rgba[i + 2]);
    else { values[j++] = rgba[i]; values[j++] = rgba[i + 1]; values[j++] = rgba[i + 2]; }
  }
  return values;
}

// The values of a network as RGBA, with the transparency of the picture.
export function fromChannels(values, channels, alpha) {
  const rgba = new Uint8ClampedArray(values.length / channels * 4), grey = channels === 1;
  for (let pixel = 0, i = 0, j = 0; j < rgba.length; pixel++, i += channels, j += 4) {
    rgba[j] = values[i];
    rgba[j + 1] = values[grey ? i : i + 1];
    rgba[j + 2] = values[grey ? i : i + 2];
    rgba[j + 3] = alpha ? alpha[pixel] : 255;
  }
  return rgba;
}

// PNG of RGBA.
export async function toPng(rgba, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
