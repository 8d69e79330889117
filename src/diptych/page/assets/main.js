// The page: what is shown, and what the visitor does.
import { Engine } from "./engine.js";
import { fromChannels, readPicture, toChannels, toPng } from "./picture.js";

const data = JSON.parse(document.getElementById("page-data").textContent);
const at = (id) => document.getElementById(id);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const seconds = (number) => number < 10 ? `${Math.max(0.1, number).toFixed(1)} s` : `${Math.round(number)} s`;

let picture = null; // the one that is shown
let busy = false; // whether it is being translated
let rate = null; // milliseconds per pixel, measured at the start
let clock = 0; // the timer that moves the progress bar
let address; // of the download
let turn = 0, reading = 0; // count translations and files: what an older one answers is not shown
let total = 0; // bytes to load

const chosen = () => data.directions.find(({ key }) => key === document.querySelector("#directions :checked").value);
const say = (text) => { at("status").textContent = text; };
const complain = (text) => { at("error").textContent = text; };
const visible = (isVisible, ...ids) => ids.forEach((id) => { at(id).hidden = !isVisible; });

// Between 0 and 1; null hides it.
function progress(fraction) {
  at("progress").hidden = fraction === null;
  at("progress").value = fraction ?? 0;
}

const engine = new Engine(data, (message) => {
  if (message.kind === "loading") {
    if (!busy) say(`Loading the model: ${megabytes(message.loaded)} of ${megabytes(Math.max(total, message.loaded))}. You can choose a picture meanwhile.`);
    progress(Math.min(1, message.loaded / total));
  } else if (message.kind === "ready") {
    rate = message.rate;
    at("computes").textContent = message.backend + (message.backend === "WebAssembly" ? `, ${message.threads} ${message.threads === 1 ? "thread" : "threads"}` : "");
    if (busy) return expect();
    progress(null);
    if (!picture) say(`Ready. ${megabytes(total)} are loaded${data.offline ? ", and the page now works without a network" : ""}.`);
  } else if (message.kind === "progress") {
    stop();
    progress(message.done / message.total);
    say(`Translating: ${message.done} of ${message.total} tiles.`);
  } else if (message.kind === "failed") {
    progress(null);
    say("");
    complain(`The model cannot be loaded (${message.message}): load the page again.`);
  }
  return undefined;
});

// Moves the progress bar by the measured speed, since a network does not say how far it is.
function expect() {
  const expected = rate * picture.width * picture.height, begin = performance.now();
  stop();
  say(expected > 1000 ? `Translating: about ${seconds(expected / 1000)}.` : "Translating.");
  clock = setInterval(() => progress(1 - Math.exp(-1.5 * (performance.now() - begin) / expected)), 100);
}

const stop = () => clearInterval(clock);

// Shows `picture` before its translation.
function place() {
  const { width, height, rgba } = picture;
  for (const canvas of [at("before"), at("after")]) Object.assign(canvas, { width, height });
  at("before").getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  at("compare").style.setProperty("--ratio", `${width} / ${height}`);
  at("compare").style.setProperty("--width", `max(${width}px, 16rem)`);
  visible(false, "empty");
  visible(true, "compare", "another");
}

async function translate() {
  const mine = ++turn, { key, source, target, inputs, outputs } = chosen(), current = picture;
  engine.cancel();
  if (!current) return;
  busy = true;
  at("compare").classList.remove("done");
  at("split").disabled = true;
  visible(false, "download");
  visible(true, "cancel");
  at("stage").setAttribute("aria-busy", "true");
  say(rate ? "Translating." : "Your picture is translated as soon as the model is loaded.");
  if (rate) expect();
  try {
    const { width, height, rgba, alpha, notes } = current;
    const request = { values: toChannels(rgba, inputs), width, height, direction: key };
    const found = await engine.translate(request);
    const pixels = fromChannels(found.values, outputs, alpha);
    const png = await toPng(pixels, width, height);
    if (mine !== turn) return;
    at("after").getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    offer(png, `${current.name.replace(/\.[^.]*$/, "")}-${target}.png`);
    at("tag-before").textContent = source;
    at("tag-after").textContent = target;
    at("compare").classList.add("done");
    at("split").disabled = false;
    move(50);
    const varying = ", each by itself: colours and brightness may differ between tiles, and from a translation of the whole";
    const tiled = `More than ${(engine.limit / 1e6).toFixed(1)} megapixels are too many for this device at once, so it was translated in ${found.tiles} tiles${data.varies ? varying : ""}.`;
    list(found.tiles > 1 ? [...notes, tiled] : notes);
    say(`${width} × ${height} pixels in ${seconds(found.seconds)}.`);
  } catch (error) {
    if (mine !== turn) return;
    say(error.name === "AbortError" ? "Cancelled." : "");
    if (error.name !== "AbortError") complain(`The picture cannot be translated (${error.message}): try a smaller one.`);
  } finally {
    if (mine === turn) {
      busy = false;
      stop();
      progress(null);
      visible(false, "cancel");
      at("stage").removeAttribute("aria-busy");
    }
  }
}

function offer(png, name) {
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(png);
  Object.assign(at("download"), { href: address, download: name, hidden: false });
}

function list(notes) {
  at("notes").replaceChildren(...notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
}

async function take(file) {
  const mine = ++reading;
  complain("");
  try {
    const read = await readPicture(file);
    if (mine !== reading) return;
    picture = read;
    list(read.notes);
    place();
    translate();
  } catch (error) {
    if (mine === reading) complain(error.message);
  }
}

function move(percent) {
  at("split").value = percent;
  at("split").setAttribute("aria-valuetext", `${Math.round(100 - percent)} % translation`);
  at("compare").style.setProperty("--at", `${percent}%`);
}

at("split").addEventListener("input", () => move(at("split").valueAsNumber));
at("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) take(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
at("directions").addEventListener("change", () => translate());
at("cancel").addEventListener("click", () => engine.cancel());
at("another").addEventListener("click", () => at("file").click());
addEventListener("paste", ({ clipboardData }) => { if (clipboardData.files[0]) take(clipboardData.files[0]); });
addEventListener("dragover", (event) => { event.preventDefault(); at("stage").classList.add("over"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) at("stage").classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  at("stage").classList.remove("over");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  else complain("That is no file: save the picture first, then drop the file.");
});

// The camera. Without a secure connection, browsers do not have this interface.
if (navigator.mediaDevices?.getUserMedia) visible(true, "camera");
at("camera").addEventListener("click", async () => {
  complain("");
  try {
    at("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    at("shutter").showModal();
  } catch (error) {
    complain(`The camera cannot be used (${error.message}): allow it for this page, or choose a picture.`);
  }
});
at("shutter").addEventListener("close", () => at("video").srcObject?.getTracks().forEach((track) => track.stop()));
at("close").addEventListener("click", () => at("shutter").close());
at("shoot").addEventListener("click", async () => {
  const { videoWidth, videoHeight } = at("video");
  const canvas = new OffscreenCanvas(videoWidth, videoHeight);
  canvas.getContext("2d").drawImage(at("video"), 0, 0);
  at("shutter").close();
  take(new File([await canvas.convertToBlob({ type: "image/png" })], "camera.png"));
});

if (data.offline && "serviceWorker" in navigator) navigator.serviceWorker.register(data.offline).catch(() => {});
move(50);
const { script, binary } = await engine.start(chosen().key);
total = script.bytes + binary.bytes + chosen().model.bytes;
