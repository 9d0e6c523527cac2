// Fetching the files of a site, with progress and a seal on each, {bytes, integrity}, the latter in the words of
// subresource integrity: "sha256-...". Where the seal has `packed` too, what lies there is the file compressed by gzip, of
// so many bytes, with PACKED after its name: most hosts of plain files do not compress, and none treats such a name
// otherwise than others.

import { UserError } from "./errors.js"

const PACKED = ".packed"
const AGAIN = "Please check the connection, and load the page anew."
const LATER = "Please load the page anew in a while."

export class Download {
  // `onProgress` is told {loaded, total}, in bytes of all files of the lists, {name: seal}, before any comes.
  constructor(lists, onProgress) {
    const seals = lists.flatMap((list) => Object.values(list))
    const total = seals.reduce((sum, { bytes, packed }) => sum + (packed ?? bytes), 0)
    this.loaded = 0
    this.tell = () => onProgress({ loaded: this.loaded, total })
    this.tell()
  }

  // The bytes of all files of a list, by name.
  async all(folder, list) {
    const files = Object.entries(list).map(async ([name, seal]) => [name, await this.file(folder, name, seal)])
    return Object.fromEntries(await Promise.all(files))
  }

  async file(folder, name, { bytes, integrity, packed }) {
    const address = this.address(folder, packed ? name + PACKED : name, { integrity })
    const { body } = await ask(address, name, isForeign(folder) ? { integrity } : {})
    const counted = body.pipeThrough(this.counter())
    const stream = packed ? counted.pipeThrough(new DecompressionStream("gzip")) : counted
    const content = await this.collect(stream, name, bytes)
    // Browsers have `crypto.subtle` where pages come by https or from this very machine.
    if (globalThis.crypto?.subtle && (await seal(content)) !== integrity)
      throw new UserError(`${name} is not what was published. ${LATER}`)
    return content
  }

  // A part of the seal goes with the address, lest a browser mix files of an older model, which it kept, with newer ones.
  address(folder, name, { integrity }) {
    const version = isForeign(folder) ? "" : `?${integrity.slice(7, 19).replace(/\W/g, "")}`
    return new URL(name + version, folder).href
  }

  // Lets bytes pass, and tells of them.
  counter() {
    const transform = (chunk, out) => {
      this.loaded += chunk.length
      this.tell()
      out.enqueue(chunk)
    }
    return new TransformStream({ transform })
  }

  async collect(stream, name, bytes) {
    const content = new Uint8Array(bytes)
    const reader = stream.getReader()
    let at = 0
    for (;;) {
      const { done, value } = await reader.read().catch(() => {
        throw new UserError(`The connection broke off while ${name} was loaded. ${AGAIN}`)
      })
      if (at + (value?.length ?? 0) > bytes || (done && at < bytes))
        throw new UserError(`${name} is not as large as was published. ${LATER}`)
      if (done) return content
      content.set(value, at)
      at += value.length
    }
  }
}

// What somebody else serves, the browser itself checks before anything of it is read, which costs its progress.
const isForeign = (folder) => folder.origin !== self.location.origin

async function seal(content) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content))
  return `sha256-${btoa(String.fromCharCode(...digest))}`
}

async function ask(address, name, options) {
  const response = await fetch(address, { credentials: "same-origin", ...options }).catch(() => {
    throw new UserError(`${name} cannot be loaded. ${AGAIN}`)
  })
  if (!response.ok) throw new UserError(`${name} cannot be loaded: the site answers ${response.status}. ${LATER}`)
  return response
}

// A JSON file of the site, always the current one where there is a network.
export async function fetchJson(address) {
  const response = await ask(address, new URL(address).pathname.split("/").at(-1), { cache: "no-cache" })
  return response.json().catch(() => {
    throw new UserError(`${address} is damaged. ${LATER}`)
  })
}
