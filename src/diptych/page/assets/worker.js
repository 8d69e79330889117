// Translates with ONNX Runtime Web. Everything arrives as messages, so that this file works from a folder and from a Blob.

let ort, loaded = 0;
const sessions = new Map(); // by direction: a promise
let settings;

// The bytes of an asset: fetched, or base64 in the page; unpacked if they are gzipped.
async function bytesOf({ url, text }) {
  let bytes;
  if (text) bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  else {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url} is missing (${response.status})`);
    const parts = [];
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      loaded += value.length;
      postMessage({ kind: "loading", loaded });
    }
    bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start(message) {
  settings = message;
  const { code, binary, threads } = message;
  const script = code.url ?? URL.createObjectURL(new Blob([await bytesOf(code)], { type: "text/javascript" }));
  ort = await import(script);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = (await bytesOf(binary)).buffer;
}

// The session of a direction. With WebGPU: the one that is faster, if both give the same picture.
async function sessionOf(direction) {
  const { models, gpu } = settings, model = await bytesOf(models[direction]);
  const create = (name) => ort.InferenceSession.create(model, { executionProviders: [name], graphOptimizationLevel: "all", logSeverityLevel: 3 });
  const wasm = await create("wasm");
  const inputs = wasm.inputMetadata[0].shape.at(-1), side = 128;
  const noise = Uint8Array.from({ length: side * side * inputs }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 11) & 255);
  const first = await timed(wasm, noise, side, inputs);
  let best = { session: wasm, backend: "WebAssembly", ...first };
  if (gpu) {
    try {
      const session = await create("webgpu");
      const found = await timed(session, noise, side, inputs);
      const apart = found.values.reduce((most, value, i) => Math.max(most, Math.abs(value - first.values[i])), 0);
      if (apart <= 1 && found.ms < first.ms) best = { session, backend: "WebGPU", ...found };
    } catch { /* no WebGPU for this network */ }
  }
  postMessage({ kind: "ready", direction, backend: best.backend, threads: settings.threads, rate: best.ms / side ** 2 });
  return { session: best.session, inputs };
}

// Runs twice: the first run also prepares kernels.
async function timed(session, values, side, channels) {
  await run(session, values, side, side, channels);
  const begin = performance.now();
  const result = await run(session, values, side, side, channels);
  return { values: result, ms: performance.now() - begin };
}

async function run(session, values, width, height, channels) {
  const output = await session.run({ input: new ort.Tensor("uint8", values, [1, height, width, channels]) });
  const data = await output.output.getData();
  output.output.dispose();
  return data;
}

// Areas { x, y, width, height } of about `limit` pixels that cover a picture, at least `overlap` pixels over each other.
// All numbers are multiples of `stride`, so that every tile is sampled at the same places as the whole picture.
function tiles(width, height, limit, overlap, stride) {
  const down = (number) => Math.floor(number / stride) * stride;
  const side = Math.max(2 * stride, down(Math.sqrt(limit)));
  const starts = (size, length) => {
    const step = Math.max(stride, down(length - overlap)), count = Math.max(1, Math.ceil((size - length) / step) + 1);
    return Array.from({ length: count }, (_, i) => Math.min(i * step, size - length));
  };
  const across = Math.min(side, width), high = Math.min(Math.max(side, down(limit / across)), height);
  return starts(height, high).flatMap((y) => starts(width, across).map((x) => ({ x, y, width: across, height: high })));
}

async function translate({ values, width, height, direction, limit }) {
  const begin = performance.now(), { session, inputs } = await sessions.get(direction);
  const seconds = () => (performance.now() - begin) / 1000;
  if (width * height <= limit) return { values: await run(session, values, width, height, inputs), tiles: 1, seconds: seconds() };
  const { stride } = settings, overlap = Math.min(64, Math.floor(Math.sqrt(limit) / 4));
  const up = (number) => Math.ceil(number / stride) * stride;
  const areas = tiles(up(width), up(height), limit, overlap, stride);
  let result, outputs;
  for (const [index, area] of areas.entries()) {
    const input = new Uint8Array(area.width * area.height * inputs);
    for (let i = 0, row = 0; row < area.height; row++) { // beyond the picture, its edge is repeated
      const line = Math.min(area.y + row, height - 1) * width;
      for (let column = 0; column < area.width; column++) {
        const from = (line + Math.min(area.x + column, width - 1)) * inputs;
        for (let channel = 0; channel < inputs; channel++) input[i++] = values[from + channel];
      }
    }
    const found = await run(session, input, area.width, area.height, inputs);
    outputs ??= found.length / (area.width * area.height);
    result ??= new Uint8Array(width * height * outputs);
    blend(result, width, height, found, area, overlap, outputs);
    postMessage({ kind: "progress", done: index + 1, total: areas.length });
  }
  return { values: result, tiles: areas.length, seconds: seconds() };
}

// Writes the tile `found` into `result`. At its left and upper edges it fades in over what the tiles before it wrote.
function blend(result, width, height, found, area, overlap, channels) {
  for (let row = 0; row < Math.min(area.height, height - area.y); row++) {
    for (let column = 0; column < Math.min(area.width, width - area.x); column++) {
      const weight = (area.y ? Math.min(1, (row + 1) / overlap) : 1) * (area.x ? Math.min(1, (column + 1) / overlap) : 1);
      const to = ((area.y + row) * width + area.x + column) * channels, from = (row * area.width + column) * channels;
      for (let channel = 0; channel < channels; channel++) {
        result[to + channel] = Math.round(weight * found[from + channel] + (1 - weight) * result[to + channel]);
      }
    }
  }
}

let ready = Promise.resolve();
onmessage = ({ data: message }) => { // one after the other
  ready = ready.then(async () => {
    if (message.kind === "start") await start(message);
    if (!sessions.has(message.direction)) sessions.set(message.direction, sessionOf(message.direction));
    await sessions.get(message.direction);
    if (message.kind === "translate") {
      const done = await translate(message);
      postMessage({ kind: "done", ...done }, [done.values.buffer]);
    }
  }).catch((error) => postMessage({ kind: "failed", message: String(error?.message ?? error) }));
};
