// Captions photographs in this very browser: what a page imports.
//
//   const captioner = await Captioner.load({ base: document.baseURI, onProgress: ({ loaded, total }) => ... })
//   const look = await captioner.look(file)
//   const caption = await captioner.write(look, { method: "sample", seed: 1 })
//
// The work is done in a worker, one request after the other. What is thrown is an Error whose message is fit for a user.

export class Captioner {
  // Load the model of the site at `base`. `onProgress` is told {loaded, total}, in bytes, from before the first of them.
  static async load({ base = document.baseURI, onProgress = () => {} } = {}) {
    const captioner = new Captioner(new Worker(new URL("worker.js", import.meta.url), { type: "module" }))
    try {
      const { backend } = await captioner.ask("load", { site: new URL(base, document.baseURI).href }, onProgress)
      captioner.backend = backend // "webgpu" or "wasm"
      return captioner
    } catch (error) {
      captioner.close()
      throw error
    }
  }

  constructor(worker) {
    this.worker = worker
    this.waiting = new Map()
    this.count = 0
    this.stopped = null
    worker.onmessage = ({ data }) => this.settle(data)
    worker.onerror = (event) => this.stop(`The captioner stopped: ${event.message || "its worker could not be loaded"}.`)
  }

  // Look at a photograph, a Blob or File: the expensive part, once.
  // Gives {key, photo, width, height, grid}: SHA-256 of the file as hexadecimal digits, the photograph as a JPEG at
  // display size and without metadata, that one's size in pixels, and what `write` wants.
  look(blob) {
    return this.ask("look", { blob })
  }

  // Write a caption of what `look` gave, as often as settings change (see settings.js).
  // Gives {text, words, shown, logProbs, logProb, score, maps, candidates, cell, hidden, gates, alternatives}. `shown`: the
  // T words as they stand in the sentence. `maps`: for each, H rows of W numbers that sum to 1. `candidates`: for each, and
  // for the end, whose word is "", the five likeliest [word, logProb]. `hidden`: of the attention cell and of the language
  // cell the hidden state at first and at each place, and `gates`: how much each gate of theirs let through there on
  // average, both in whole percent; `cell`: "lstm", "gru" or "rnn". `alternatives`: the same of other captions, best first.
  // Logarithms are natural.
  write(look, settings = {}) {
    return this.ask("write", { grid: look.grid, settings })
  }

  // Free the memory; what waits is given up.
  close() {
    this.stop("The captioner was closed.")
  }

  ask(method, input, onProgress) {
    return new Promise((resolve, reject) => {
      if (this.stopped) return reject(new Error(this.stopped))
      const id = ++this.count
      this.waiting.set(id, { resolve, reject, onProgress })
      this.worker.postMessage({ id, method, input })
    })
  }

  settle({ id, progress, output, error }) {
    const request = this.waiting.get(id)
    if (!request) return
    if (progress) return request.onProgress?.(progress)
    this.waiting.delete(id)
    if (error) request.reject(new Error(error))
    else request.resolve(output)
  }

  stop(reason) {
    this.stopped ??= `${reason} Please load the page anew.`
    this.worker.terminate()
    for (const { reject } of this.waiting.values()) reject(new Error(this.stopped))
    this.waiting.clear()
  }
}
