// Writes an animated GIF (GIF89a): a palette of its own for each frame by median cut (Heckbert 1982), pixels by LZW.

const COLOURS = 128
const BITS = 7 // of an index
const SHADES = 32 // of each band, when colours are counted

// Colours of RGBA pixels in cells of SHADES³: how often each cell occurs.
function count(pixels) {
  const counts = new Uint32Array(SHADES ** 3)
  for (let at = 0; at < pixels.length; at += 4) counts[cellOf(pixels, at)]++
  return counts
}

const cellOf = (pixels, at) => ((pixels[at] >> 3) << 10) | ((pixels[at + 1] >> 3) << 5) | (pixels[at + 2] >> 3)
const shade = (cell, band) => (cell >> (10 - 5 * band)) & (SHADES - 1)

// Halve the box of cells that varies most until there are enough; returns colours, and for each cell its colour's index.
function palette(counts) {
  const used = Array.from(counts.keys()).filter((cell) => counts[cell])
  const boxes = [used]
  while (boxes.length < COLOURS) {
    const spreads = boxes.map(spread)
    const widest = spreads.reduce((best, { weight }, index) => (weight > spreads[best].weight ? index : best), 0)
    if (!spreads[widest].weight) break
    const { band } = spreads[widest]
    const box = boxes[widest].sort((one, other) => shade(one, band) - shade(other, band))
    const half = box.reduce((sum, cell) => sum + counts[cell], 0) / 2
    let [sum, cut] = [0, 0]
    while (cut < box.length - 1 && (cut === 0 || sum < half)) sum += counts[box[cut++]]
    boxes.splice(widest, 1, box.slice(0, cut), box.slice(cut))
  }
  const indices = new Uint8Array(counts.length)
  const colours = new Uint8Array(3 * COLOURS)
  boxes.forEach((box, index) => {
    const total = box.reduce((sum, cell) => sum + counts[cell], 0)
    for (let band = 0; band < 3; band++) {
      const sum = box.reduce((all, cell) => all + counts[cell] * shade(cell, band), 0)
      colours[3 * index + band] = Math.round(((sum / total) * 255) / (SHADES - 1))
    }
    for (const cell of box) indices[cell] = index
  })
  return { colours, indices }

  function spread(box) {
    let best = { weight: 0, band: 0 }
    const total = box.reduce((sum, cell) => sum + counts[cell], 0)
    for (let band = 0; band < 3; band++) {
      let [low, high] = [SHADES, 0]
      for (const cell of box) {
        low = Math.min(low, shade(cell, band))
        high = Math.max(high, shade(cell, band))
      }
      const weight = (high - low) * Math.sqrt(total)
      if (weight > best.weight) best = { weight, band }
    }
    return best
  }
}

// Indices of colours as codes of growing length, in blocks of 255 bytes at most.
function compress(indices, write) {
  const [clear, end] = [1 << BITS, (1 << BITS) + 1]
  const block = []
  let [size, next, codes] = [BITS + 1, end + 1, new Map()]
  let [held, waiting] = [0, 0]
  const emit = (code) => {
    held |= code << waiting
    waiting += size
    while (waiting >= 8) {
      put(held & 255)
      held >>>= 8
      waiting -= 8
    }
  }
  const put = (byte) => {
    block.push(byte)
    if (block.length === 255) write(255, ...block.splice(0))
  }
  write(BITS)
  emit(clear)
  let prefix = indices[0]
  for (let at = 1; at < indices.length; at++) {
    const key = (prefix << 8) | indices[at]
    const code = codes.get(key)
    if (code !== undefined) {
      prefix = code
      continue
    }
    emit(prefix)
    if (next < 4096) {
      if (next === 1 << size) size++
      codes.set(key, next++)
    } else {
      emit(clear)
      ;[size, next, codes] = [BITS + 1, end + 1, new Map()]
    }
    prefix = indices[at]
  }
  emit(prefix)
  emit(end)
  if (waiting) put(held & 255)
  if (block.length) write(block.length, ...block)
  write(0)
}

// Frames { pixels: RGBA, seconds } of one size as a Blob; it plays for ever.
export function encodeGif(frames, width, height) {
  const bytes = []
  const write = (...more) => bytes.push(...more)
  const short = (value) => [value & 255, value >> 8]
  const ascii = (text) => [...text].map((mark) => mark.charCodeAt(0))
  write(...ascii("GIF89a"), ...short(width), ...short(height), 0, 0, 0)
  write(0x21, 0xff, 11, ...ascii("NETSCAPE2.0"), 3, 1, 0, 0, 0)
  for (const { pixels, seconds } of frames) {
    const { colours, indices } = palette(count(pixels))
    write(0x21, 0xf9, 4, 0, ...short(Math.round(100 * seconds)), 0, 0)
    write(0x2c, 0, 0, 0, 0, ...short(width), ...short(height), 0x80 | (BITS - 1), ...colours)
    compress(Uint8Array.from({ length: width * height }, (_, at) => indices[cellOf(pixels, 4 * at)]), write)
  }
  write(0x3b)
  return new Blob([new Uint8Array(bytes)], { type: "image/gif" })
}
