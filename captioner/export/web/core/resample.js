// Resizing as Pillow does it, to the level, since the model has learnt from photographs that Pillow resized: a filter
// that widens as the picture shrinks, along rows and along columns, rounded to 8 bits after each, in whole numbers
// of 22 binary places (libImaging/Resample.c and Reduce.c of python-pillow/Pillow).
//
// A picture is {data, width, height}, its data RGBA, 8 bits each, as of an ImageData; alpha comes out opaque.

const PRECISION = 32 - 8 - 2

// How much a pixel at distance x from the middle counts, and up to which distance any does.
export const BILINEAR = { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) }
export const BICUBIC = { reach: 2, weight: (x) => keys(Math.abs(x)) }

// Cubic convolution (Keys 1981) with a = -1/2.
function keys(x) {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
}

// For each of `target` places along a line of `source` pixels: the first pixel that counts, and the weights from there on.
function tabulate(source, target, filter) {
  const scale = source / target
  const stretch = Math.max(scale, 1)
  const reach = filter.reach * stretch
  return Array.from({ length: target }, (_, place) => {
    const middle = (place + 0.5) * scale
    const first = Math.max(0, Math.trunc(middle - reach + 0.5))
    const end = Math.min(source, Math.trunc(middle + reach + 0.5))
    const weights = Array.from({ length: end - first }, (_, k) => filter.weight((first + k - middle + 0.5) / stretch))
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { first, weights: Int32Array.from(weights, (weight) => roundAway((weight / sum) * 2 ** PRECISION)) }
  })
}

const roundAway = (value) => Math.trunc(value + Math.sign(value) * 0.5)

// One pass: `lines` lines, each from its pixels to `table.length` new ones. Where a pixel lies in the data is told by
// the steps, in numbers, from pixel to pixel and from line to line, so that rows and columns are the same work.
function pass(data, result, table, lines, from, to) {
  const alongLines = to.pixel < to.line // in the order in which pixels lie in memory, which is faster
  for (let slow = 0; slow < (alongLines ? lines : table.length); slow++)
    for (let fast = 0; fast < (alongLines ? table.length : lines); fast++) {
      const line = alongLines ? slow : fast
      const place = alongLines ? fast : slow
      const { first, weights } = table[place]
      let at = line * from.line + first * from.pixel
      let red = 1 << (PRECISION - 1)
      let green = red
      let blue = red
      for (let k = 0; k < weights.length; k++, at += from.pixel) {
        red += data[at] * weights[k]
        green += data[at + 1] * weights[k]
        blue += data[at + 2] * weights[k]
      }
      const out = line * to.line + place * to.pixel
      result[out] = red >> PRECISION // the array itself clips to 0..255
      result[out + 1] = green >> PRECISION
      result[out + 2] = blue >> PRECISION
      result[out + 3] = 255
    }
}

function resizeRows({ data, width, height }, target, filter) {
  if (target === width) return { data, width, height }
  const result = new Uint8ClampedArray(4 * target * height)
  const [from, to] = [width, target].map((length) => ({ pixel: 4, line: 4 * length }))
  pass(data, result, tabulate(width, target, filter), height, from, to)
  return { data: result, width: target, height }
}

function resizeColumns({ data, width, height }, target, filter) {
  if (target === height) return { data, width, height }
  const result = new Uint8ClampedArray(4 * width * target)
  const steps = { pixel: 4 * width, line: 4 }
  pass(data, result, tabulate(height, target, filter), width, steps, steps)
  return { data: result, width, height: target }
}

// Resize a picture.
export function resize(picture, width, height, filter) {
  const rows = (from) => resizeRows(from, width, filter)
  const columns = (from) => resizeColumns(from, height, filter)
  // What Pillow 13 does, as experiments show: columns first where many rows are to go.
  const rowsToGo = picture.height - height
  const columnsFirst = rowsToGo > 0 && 2 * (picture.width - width) < rowsToGo
  return columnsFirst ? rows(columns(picture)) : columns(rows(picture))
}

// Average blocks of pixels into one each, from a tile of a picture into its place in the result; at the right and at
// the bottom, blocks may be cut off.
export function reduce(tile, factor, result, left, top) {
  const { data, width } = tile
  if (factor === 1) return copy(tile, result, left, top)
  for (let row = 0; row * factor < tile.height; row++)
    for (let column = 0; column * factor < width; column++) {
      const right = Math.min((column + 1) * factor, width)
      const bottom = Math.min((row + 1) * factor, tile.height)
      const count = (right - column * factor) * (bottom - row * factor)
      let red = count >> 1
      let green = red
      let blue = red
      for (let y = row * factor; y < bottom; y++)
        for (let at = 4 * (y * width + column * factor); at < 4 * (y * width + right); at += 4) {
          red += data[at]
          green += data[at + 1]
          blue += data[at + 2]
        }
      const share = Math.floor(2 ** 24 / count) / 2 ** 24 // Pillow multiplies in whole numbers rather than divide
      const out = 4 * ((top + row) * result.width + left + column)
      result.data[out] = Math.floor(red * share)
      result.data[out + 1] = Math.floor(green * share)
      result.data[out + 2] = Math.floor(blue * share)
      result.data[out + 3] = 255
    }
}

function copy({ data, width, height }, result, left, top) {
  for (let row = 0; row < height; row++)
    result.data.set(data.subarray(4 * row * width, 4 * (row + 1) * width), 4 * ((top + row) * result.width + left))
}
