// The worker that translates, seen from the page: it can be asked, cancelled and started again.

export class Engine {
  // `data` is the page's data; `report({ kind, ... })` is called for "loading", "ready", "progress" and "failed".
  constructor(data, report) {
    const [few, many] = data.pixels; // how many are translated at once
    Object.assign(this, { data, report, limit: navigator.deviceMemory >= 8 ? many : few, worker: null, job: null });
  }

  // Starts the worker and loads the network of `direction`, so that the first picture need not wait.
  async start(direction) {
    const { data } = this;
    const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
    const suspends = typeof WebAssembly.Suspending === "function"; // what the build with WebGPU needs
    this.runtime = suspends && adapter && !adapter.info?.isFallbackAdapter ? "gpu" : "wasm";
    this.open(direction);
    return data.runtimes[this.runtime];
  }

  open(direction) {
    const { data } = this;
    const url = data.worker.url ?? URL.createObjectURL(new Blob([embedded(data.worker)], { type: "text/javascript" }));
    this.worker = new Worker(url); // no module: from disk, browsers load none into a worker
    this.worker.onmessage = ({ data: message }) => this.hear(message);
    this.worker.onerror = (event) => this.hear({ kind: "failed", message: event.message || "the worker cannot start" });
    const { script: code, binary } = data.runtimes[this.runtime];
    const models = Object.fromEntries(data.directions.map(({ key, model }) => [key, asset(model)]));
    const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
    this.worker.postMessage({ kind: "start", code: asset(code), binary: asset(binary), models, direction, threads, stride: data.stride, gpu: this.runtime === "gpu" });
  }

  hear(message) {
    if (message.kind === "done" || message.kind === "failed") {
      const { job } = this;
      this.job = null;
      if (message.kind === "done") return job.resolve(message);
      if (this.runtime === "gpu" && !this.ready) { // the build with WebGPU does not work here: take the other
        this.runtime = "wasm";
        this.restart(job?.direction ?? this.data.directions[0].key);
        return job && this.send(job);
      }
      this.restart(job?.direction ?? null); // a runtime that failed, perhaps because memory ran out, is not used again
      return job ? this.retry(job, message) : this.report(message);
    }
    if (message.kind === "ready") this.ready = true;
    return this.report(message);
  }

  // Tries again with a quarter of the pixels at a time, unless tiles would become too small.
  retry(job, message) {
    const pixels = Math.min(this.limit, job.width * job.height);
    if (!this.ready || pixels < 4 * 128 ** 2) return job.reject(new Error(message.message));
    this.limit = pixels / 4;
    return this.send(job);
  }

  restart(direction) {
    this.worker?.terminate();
    this.worker = null;
    if (direction) this.open(direction);
  }

  send(job) {
    this.job = job;
    if (!this.worker) this.open(job.direction);
    const { resolve, reject, ...request } = job;
    this.worker.postMessage({ kind: "translate", limit: this.limit, ...request });
  }

  // Translates `values` (H × W × C bytes) to { values, tiles, seconds }. The worker gets a copy, so that `retry` still has them.
  translate(request) {
    return new Promise((resolve, reject) => this.send({ ...request, resolve, reject }));
  }

  // Stops the translation immediately, even in the middle of a tile.
  cancel() {
    const { job } = this;
    this.job = null;
    if (!job) return;
    this.restart(job.direction);
    job.reject(new DOMException("Cancelled.", "AbortError"));
  }
}

const embedded = ({ id }) => document.getElementById(id).textContent;

// What the worker needs to load a part of the page: an address, or the text inside of the page.
const asset = (part) => part.id ? { text: embedded(part), bytes: part.bytes } : { url: new URL(part.url, document.baseURI).href, bytes: part.bytes };
