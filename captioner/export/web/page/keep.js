// What the browser keeps, so that the page works without network and the model is loaded once: see service-worker.js.

const WAIT = 4000 // milliseconds for the service worker to begin; without it the page works too, but keeps nothing

// Start the service worker, or go on without it where the browser has none (plain http, some private windows).
export async function keepOffline() {
  if (!navigator.serviceWorker) return
  const begun = navigator.serviceWorker.register("service-worker.js").then(async (registration) => {
    offerNewer(registration)
    await navigator.serviceWorker.ready
    if (!navigator.serviceWorker.controller)
      await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve))
  })
  const patience = new Promise((resolve) => setTimeout(resolve, WAIT))
  await Promise.race([begun.catch((error) => console.warn(error)), patience])
}

// Whether everything that the model needs is kept already.
export async function isKept(addresses) {
  if (!globalThis.caches) return false
  const found = await Promise.all(addresses.map((address) => caches.match(address).catch(() => undefined)))
  return found.every(Boolean)
}

// Photographs that another program has shared with this one; the service worker hands them over and forgets them.
export async function sharedPhotographs() {
  if (!new URLSearchParams(location.search).has("shared")) return []
  history.replaceState(null, "", location.pathname)
  const worker = navigator.serviceWorker?.controller
  if (!worker) return []
  const { port1, port2 } = new MessageChannel()
  const answer = new Promise((resolve) => (port1.onmessage = (event) => resolve(event.data)))
  worker.postMessage("shared", [port2])
  return answer
}

// A new export takes over once nobody uses the old one, or when the visitor says so.
function offerNewer(registration) {
  const notice = document.querySelector("#newer")
  const offer = () => {
    if (!registration.waiting || !navigator.serviceWorker.controller) return
    notice.hidden = false
    notice.querySelector("button").onclick = () => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload())
      registration.waiting.postMessage("take over")
    }
  }
  offer()
  registration.addEventListener("updatefound", () => {
    registration.installing?.addEventListener("statechange", offer)
  })
}
