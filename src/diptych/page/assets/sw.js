// Keeps the page for visits without a network, and lets it use threads.
// Written by diptych: the name changes when a file changes.
const CACHE = registration.scope + " $name", FILES = $files;

// The first two allow shared memory, which threads need. The last one holds for the worker too.
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp",
  "Content-Security-Policy": "$policy",
};

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })))).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  event.waitUntil(removeOlder().then(() => clients.claim()));
});

// All pages of an origin share its caches, so the names of this page's caches begin with its address.
async function removeOlder() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(registration.scope) && name !== CACHE).map((name) => caches.delete(name)));
}

addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(registration.scope)) event.respondWith(answer(event.request));
});

// From the cache, else from the network. That is the runtime with WebGPU: only some browsers need it, so it is cached at its first use.
async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  const response = kept ?? await fetch(request);
  if (!kept && response.ok) await cache.put(request, response.clone());
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}
