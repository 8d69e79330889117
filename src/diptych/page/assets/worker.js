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
  const create = (name) => ort.InferenceSession.create(model, { executionProviders: [name], graphOptimizationLevel: "all" });
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

// Areas { x, y, width, height } of at most `limit` pixels that cover a picture, `overlap` pixels over each other.
function tiles(width, height, limit, overlap) {
  if (width * height <= limit) return [{ x: 0, y: 0, width, height }];
  const side = Math.max(2 * overlap, Math.floor(Math.sqrt(limit)));
  const starts = (size, length) => {
    const count = Math.max(1, Math.ceil((size - overlap) / (length - overlap)));
    return Array.from({ length: count }, (_, i) => count === 1 ? 0 : Math.round(i * (size - length) / (count - 1)));
  };
  const across = Math.min(side, width), down = Math.min(Math.floor(limit / across), height);
  return starts(height, down).flatMap((y) => starts(width, across).map((x) => ({ x, y, width: across, height: down })));
}

async function translate({ values, width, height, direction, limit }) {
  const begin = performance.now(), overlap = Math.min(64, Math.floor(Math.sqrt(limit) / 4));
  const { session, inputs } = await sessions.get(direction);
  const areas = tiles(width, height, limit, overlap);
  if (areas.length === 1) return { values: await run(session, values, width, height, inputs), tiles: 1, seconds: (performance.now() - begin) / 1000 };
  let result, outputs;
  for (const [index, area] of areas.entries()) {
    const { x, y } = area, input = new Uint8Array(area.width * area.height * inputs);
    for (let row = 0; row < area.height; row++) {
      const from = ((y + row) * width + x) * inputs;
      input.set(values.subarray(from, from + area.width * inputs), row * area.width * inputs);
    }
    const found = await run(session, input, area.width, area.height, inputs);
    outputs ??= found.length / (area.width * area.height);
    result ??= new Uint8Array(width * height * outputs);
    for (let row = 0; row < area.height; row++) { // fades in over what the tiles before it wrote
      for (let column = 0; column < area.width; column++) {
        const weight = (y ? Math.min(1, (row + 1) / overlap) : 1) * (x ? Math.min(1, (column + 1) / overlap) : 1);
        const to = ((y + row) * width + x + column) * outputs, from = (row * area.width + column) * outputs;
        for (let channel = 0; channel < outputs; channel++) result[to + channel] = Math.round(weight * found[from + channel] + (1 - weight) * result[to + channel]);
      }
    }
    postMessage({ kind: "progress", done: index + 1, total: areas.length });
  }
  return { values: result, tiles: areas.length, seconds: (performance.now() - begin) / 1000 };
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
