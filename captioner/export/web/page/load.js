// Loading the model: how much it is, before it begins; how far it is; and what is in the way.

import { chooseBackend } from "../core/runtime.js"
import { explain } from "./faults.js"
import { isKept } from "./keep.js"
import { megabytes } from "./texts.js"

// What is in the way of any captioning here, or "".
function obstacle() {
  if (typeof WebAssembly !== "object")
    return (
      "This browser has no WebAssembly, or does not allow it here, and the model needs it. Some browsers turn it off in " +
      "their strictest privacy mode: please allow it for this page, or try another browser."
    )
  if (typeof Worker !== "function") return "This browser has no workers, which the model needs. Please try another one."
  return ""
}

// The files that this browser needs, [address, bytes] of each: the model's, and those of the runtime's build for it.
async function neededFiles() {
  const folder = new URL("model/", document.baseURI)
  const { files, runtime } = await (await fetch(new URL("model.json", folder))).json()
  const build = runtime.builds[await chooseBackend(runtime.builds)]
  const within = (base, list) =>
    Object.entries(list).map(([name, { bytes, packed }]) => [
      new URL(packed ? `${name}.packed` : name, base).href,
      packed ?? bytes,
    ])
  return [...within(folder, files), ...within(new URL(runtime.folder, folder), build)]
}

export async function startLoading() {
  const panel = document.querySelector("#loading")
  const [offer, told, far] = ["offer", "told", "far"].map((name) => panel.querySelector(`.${name}`))
  const [button, progress] = [panel.querySelector(".load"), panel.querySelector("progress")]
  let loaded // a promise of the captioner, once it was asked for
  let begin
  const begun = new Promise((resolve) => (begin = resolve))

  let hindrance = obstacle()
  const files = hindrance ? [] : await neededFiles().catch((error) => ((hindrance = explain(error)), []))
  const size = megabytes(files.reduce((sum, [, bytes]) => sum + bytes, 0))
  panel.hidden = false
  button.hidden = Boolean(hindrance)
  const once = `It is loaded once (${size})${navigator.serviceWorker ? ", and kept in this browser" : ""}.`
  offer.textContent = hindrance || `The model works in your browser. ${once}`
  if (hindrance) panel.classList.add("problem")
  button.textContent = `Load the model (${size})`
  button.onclick = load
  if (!hindrance && (await isKept(files.map(([address]) => address)))) load()

  // What is going on; how far it is, screen readers are not told of over and over again.
  function tell(text, share, detail = "") {
    if (told.textContent !== text) told.textContent = text
    far.textContent = detail
    progress.hidden = share === undefined
    if (share !== undefined) progress.value = share
  }

  function load() {
    if (loaded) return
    button.hidden = true
    offer.hidden = true
    panel.classList.remove("problem")
    loaded = (async () => {
      const { Captioner } = await import("../core/captioner.js")
      return Captioner.load({ base: new URL(".", document.baseURI).href, onProgress })
    })()
    tell("Loading the model …", 0)
    loaded.then(
      () => {
        panel.hidden = true
        document.querySelector(".kept").textContent = navigator.serviceWorker?.controller
          ? `The model (${size}) and this page are kept in this browser, and work without network.`
          : ""
        begin(loaded)
      },
      (error) => {
        loaded = undefined
        tell(`The model cannot be loaded. ${explain(error)}`)
        panel.classList.add("problem")
        button.hidden = false
        button.textContent = `Try again (${size})`
      },
    )
  }

  function onProgress({ loaded, total }) {
    const detail = `${megabytes(loaded)} of ${megabytes(total)}`
    tell(loaded < total ? "Loading the model …" : "Starting the model …", loaded / total, detail)
  }

  return {
    // The captioner; so many photographs wait for it, and the visitor is told what for.
    model(waiting) {
      if (!hindrance && !loaded) {
        const photographs = waiting === 1 ? "The photograph waits" : `${waiting} photographs wait`
        offer.textContent = `${photographs} for the model, which works in your browser. ${once}`
        offer.hidden = false // it is, once loading has failed
        button.focus()
      }
      if (!panel.hidden) panel.scrollIntoView({ block: "center" })
      return begun
    },
  }
}
