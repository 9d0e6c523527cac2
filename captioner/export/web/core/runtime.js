// onnxruntime-web: which of its builds suits this browser, and the model's graphs running in it.
//
// There are two builds: with WebAssembly alone, and with WebGPU beside it, whose calls wait by "JavaScript promise
// integration". Each is one module and one binary. The encoder, a large convolutional network, runs on WebGPU where that
// works; the decoder's small steps are as fast, or faster, on the processor.

import { UserError } from "./errors.js"

const MOST_THREADS = 4

// A module of one function that returns a vector of sixteen bytes: valid where WebAssembly has SIMD.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]

// Which build to load: "webgpu" or "wasm".
export async function chooseBackend(builds) {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(Uint8Array.from(SIMD)))
    throw new UserError("This browser is too old: it has no WebAssembly with SIMD. Please update it, or take another one.")
  if (!builds.webgpu || !("Suspending" in WebAssembly)) return "wasm"
  try {
    const adapter = await navigator.gpu?.requestAdapter()
    // A fallback adapter computes on the processor, slower than WebAssembly does.
    return adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) ? "webgpu" : "wasm"
  } catch {
    return "wasm"
  }
}

// The runtime from its two files: the module's address or, where that is another's, its checked bytes.
export async function openRuntime(module, binary) {
  const address = module instanceof Uint8Array ? URL.createObjectURL(new Blob([module], { type: "text/javascript" })) : module
  const ort = await import(address)
  ort.env.logLevel = "error"
  ort.env.wasm.wasmBinary = binary.buffer
  // Threads share memory, which browsers allow only to pages that let nobody else in.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1
  return ort
}

// One graph of the model, ready to run.
export class Graph {
  static async open(ort, content, provider) {
    return new Graph(ort, await ort.InferenceSession.create(content, { executionProviders: [provider] }))
  }

  constructor(ort, session) {
    this.ort = ort
    this.session = session
  }

  // Inputs by name, {data, dims}, to outputs by name, likewise. Words are plain arrays, since the graphs take them as
  // 64-bit numbers, which JavaScript has only in a kind of their own.
  async run(inputs) {
    const feeds = {}
    for (const [name, { data, dims }] of Object.entries(inputs)) feeds[name] = this.tensor(data, dims)
    const outputs = await this.session.run(feeds)
    return Object.fromEntries(Object.entries(outputs).map(([name, { data, dims }]) => [name, { data, dims: [...dims] }]))
  }

  tensor(data, dims) {
    const { Tensor } = this.ort
    if (Array.isArray(data)) return new Tensor("int64", BigInt64Array.from(data, BigInt), dims)
    return new Tensor(data instanceof Uint8Array ? "uint8" : "float32", data, dims)
  }

  close() {
    return this.session.release()
  }
}
