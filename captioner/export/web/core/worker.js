// The model in a worker of its own, so that the page never freezes. Messages are {id, method, input}; each is answered by
// {id, output} or {id, error}, in the order in which they came; progress of loading comes as {id, progress}.

import { explain, UserError } from "./errors.js"
import { loadModel } from "./load.js"
import { complete } from "./settings.js"
import { openPhoto, readBytes, squeeze, toJpeg } from "./squeeze.js"

let loaded = null // {model, backend}

const methods = {
  async load({ site }, id) {
    loaded = await loadModel(site, (progress) => postMessage({ id, progress }))
    return { backend: loaded.backend }
  },

  async look({ blob }) {
    const bytes = await readBytes(blob)
    const picture = await openPhoto(blob, bytes)
    const { width, height } = picture
    const grid = await loaded.model.encode(squeeze(picture, loaded.model.side))
    return { key: await fingerprint(bytes), photo: await toJpeg(picture), width, height, grid }
  },

  write({ grid, settings }) {
    return loaded.model.decode(grid, complete(settings))
  },
}

// SHA-256, which tells photographs apart. Where a page came by http, browsers do not compute it; then each is new.
async function fingerprint(bytes) {
  const subtle = globalThis.crypto.subtle
  const digest = subtle ? await subtle.digest("SHA-256", bytes) : crypto.getRandomValues(new Uint8Array(32)).buffer
  return Array.from(new Uint8Array(digest), (value) => value.toString(16).padStart(2, "0")).join("")
}

async function answer({ id, method, input }) {
  try {
    postMessage({ id, output: await methods[method](input, id) })
  } catch (error) {
    if (!(error instanceof UserError)) console.error(error)
    postMessage({ id, error: explain(error) })
  }
}

// One after the other: a single search already takes all that the device gives.
let last = Promise.resolve()
self.onmessage = ({ data }) => (last = last.then(() => answer(data)))
