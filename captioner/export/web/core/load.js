// Loading a site's model. model/model.json lists its files, which lie beside it, and those of the runtime, whose folder
// it names, which may be somebody else's:
//
//   {files: {name: {bytes, integrity}}, runtime: {folder, builds: {wasm: {name: {bytes, integrity}}, webgpu: ...}}, probe}
//
// A build is its module and its binary. The probe is what the encoder should say of a pattern (see `works`).

import { Download, fetchJson } from "./download.js"
import { Model } from "./model.js"
import { chooseBackend, Graph, openRuntime } from "./runtime.js"

const TOLERANCE = 0.02

// Returns {model, backend}; `site` is its address, `onProgress` is told {loaded, total} in bytes.
export async function loadModel(site, onProgress) {
  const list = await fetchJson(new URL("model/model.json", site).href)
  const backend = await chooseBackend(list.runtime.builds)
  const build = list.runtime.builds[backend]
  const download = new Download([list.files, build], onProgress)
  const modelFolder = new URL("model/", site)
  const [ort, files] = await Promise.all([
    loadRuntime(download, new URL(list.runtime.folder, modelFolder), build),
    download.all(modelFolder, list.files),
  ])
  const about = JSON.parse(new TextDecoder().decode(files["captioner.json"]))
  const encoder = backend === "webgpu" && (await openOnGraphics(ort, files["encoder.onnx"], about, list.probe))
  const graphs = { encoder: encoder || (await Graph.open(ort, files["encoder.onnx"], "wasm")) }
  for (const name of ["memory", "step", "matcher"])
    if (files[`${name}.onnx`]) graphs[name] = await Graph.open(ort, files[`${name}.onnx`], "wasm")
  return { model: new Model(about, graphs), backend: encoder ? "webgpu" : "wasm" }
}

async function loadRuntime(download, folder, build) {
  const files = await download.all(folder, build)
  const module = Object.keys(build).find((name) => name.endsWith(".mjs"))
  const binary = Object.keys(build).find((name) => name.endsWith(".wasm"))
  const own = folder.origin === self.location.origin
  return openRuntime(own ? download.address(folder, module, build[module]) : files[module], files[binary])
}

// The encoder on the graphics processor, or null where that does not do what it should: drivers have faults.
async function openOnGraphics(ort, content, about, probe) {
  try {
    const encoder = await Graph.open(ort, content, "webgpu")
    if (await works(encoder, about.config.encoder.image_size, probe)) return encoder
    await encoder.close()
  } catch (error) {
    console.warn("WebGPU does not work here:", error)
  }
  return null
}

// Whether an encoder says of a pattern what it should: the means of the first channels of the grid.
async function works(encoder, side, probe) {
  const photos = { data: pattern(side), dims: [1, 3, side, side] }
  const { data, dims } = (await encoder.run({ photos })).grid
  const cells = dims[2] * dims[3]
  const peak = Math.max(...probe.map(Math.abs))
  return probe.every((wanted, channel) => {
    const mean = data.subarray(channel * cells, (channel + 1) * cells).reduce((sum, value) => sum + value, 0) / cells
    return Math.abs(mean - wanted) <= TOLERANCE * peak
  })
}

// Uint8Array (3, side, side): slanted bands, as `probe_pattern` of captioner/export/web_model.py draws them.
function pattern(side) {
  return Uint8Array.from({ length: 3 * side * side }, (_, at) => {
    const [band, row, column] = [Math.floor(at / side ** 2), Math.floor(at / side) % side, at % side]
    return (85 * band + 3 * row + 5 * column) % 256
  })
}
