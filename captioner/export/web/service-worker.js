// Keeps the page's files and the model in the browser, so that the page works without network and loads the model once.
// The exporter has put CONTENT on top: digests, the page's files, and the files of the model and its runtime.
// Nothing else is kept: no photograph, no caption.

const SCOPE = self.registration.scope
const OURS = `captioner ${SCOPE} ` // other exports of the same host have caches of their own
const PAGE = `${OURS}page ${CONTENT.page}`
const MODEL = `${OURS}model ${CONTENT.model}`
const absolute = (file) => new URL(file, SCOPE).href
const PAGE_FILES = new Set(CONTENT.pageFiles.map(absolute))
const MODEL_FILES = new Set(CONTENT.modelFiles.map(absolute))

// What hosts of plain files do not send. The first three let the runtime use several threads; the last holds in the
// worker too, where the page's own, which says the same, does not.
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Content-Security-Policy": CONTENT.policy,
}

let shared = [] // photographs on their way from another program to the page

self.oninstall = (event) => event.waitUntil(install())
self.onactivate = (event) => event.waitUntil(activate())
self.onmessage = (event) => {
  if (event.data === "take over") self.skipWaiting()
  if (event.data === "shared") event.ports[0].postMessage(shared.splice(0))
}
self.onfetch = (event) => {
  const answer = respond(event)
  if (answer) event.respondWith(answer)
}

async function install() {
  const cache = await caches.open(PAGE)
  await cache.addAll([...PAGE_FILES].map((address) => new Request(address, { cache: "reload" })))
}

// Of older exports, everything goes; the model stays if it is the same.
async function activate() {
  const names = await caches.keys()
  const old = names.filter((name) => name.startsWith(OURS) && ![PAGE, MODEL].includes(name))
  await Promise.all(old.map((name) => caches.delete(name)))
  await self.clients.claim()
}

// A promise of the answer; undefined leaves a request to the browser.
function respond({ request }) {
  const url = new URL(request.url)
  const address = url.origin + url.pathname
  if (request.method === "POST" && address === absolute("share")) return receive(request)
  if (request.method !== "GET") return undefined
  if ([SCOPE, absolute("index.html")].includes(address)) return kept(PAGE, absolute("index.html"), request)
  if (PAGE_FILES.has(address)) return kept(PAGE, address, request)
  if (MODEL_FILES.has(address)) return kept(MODEL, address, request)
  if (url.origin !== self.location.origin && request.mode !== "navigate") return Promise.resolve(Response.error())
  return undefined
}

// What is kept, or what the network gives, which then is kept.
async function kept(name, address, { integrity }) {
  const cache = await caches.open(name)
  const found = await cache.match(address)
  if (found) return withHeaders(found)
  const response = await fetch(address, { cache: "no-cache", integrity })
  // Where the disk is full, it is loaded anew the next time.
  if (response.ok) cache.put(address, response.clone()).catch((error) => console.warn(error))
  return withHeaders(response)
}

function withHeaders(response) {
  const headers = new Headers(response.headers)
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value)
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
}

// A phone's gallery sends photographs as a form. They are handed to the page, which asks for them, and never kept.
async function receive(request) {
  const form = await request.formData()
  shared = form.getAll("photographs").filter((file) => file instanceof File)
  return Response.redirect(absolute("./?shared"), 303)
}
