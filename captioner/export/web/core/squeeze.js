// From a file that somebody chose to the model's square, as captioner/photo.py and pixels.py do it: checked, upright,
// transparency on white, at most 1024 pixels long, then squeezed without cropping, so that caption and maps speak of all
// of it. Colour profiles and EXIF orientation are the browser's work.
//
// Pixels are those of captioner/photo.py to a level, with two exceptions: Python lets the JPEG decoder itself scale a
// photograph of 2000 pixels or more, which browsers cannot ask for (a quarter of a level on average, four at most), and
// where transparency is scaled down, it rounds once more (two levels at most). Browsers with another decoder of JPEGs
// than libjpeg-turbo may differ by a few levels, too.

import { UserError } from "./errors.js"
import { readHeader } from "./header.js"
import { BICUBIC, BILINEAR, reduce, resize } from "./resample.js"

const LONGEST_SIDE = 1024 // more would not be seen: the model's square is smaller, and so is the page
const MAXIMUM_PIXELS = 89_000_000 // as many as captioner/photo.py takes
const MAXIMUM_BYTES = 500_000_000
const TILE = 2048 // pixels; of a large photograph only so much is held beside the decoded one
const JPEG_QUALITY = 0.85

const READABLE = "This page reads JPEG, PNG, WebP, GIF and BMP, and AVIF and HEIC where the browser does."
const OTHER = "Please choose another file."

// What an error message calls a file.
export const describe = (blob) => blob.name || "The photograph"

// The bytes of a file, unless there are none or too many.
export async function readBytes(blob) {
  const name = describe(blob)
  if (blob.size > MAXIMUM_BYTES) {
    const megabytes = (blob.size / 1e6).toFixed(0)
    const limit = MAXIMUM_BYTES / 1e6
    throw new UserError(`${name} is too large: ${megabytes} MB, and the limit is ${limit} MB. Please scale it down first.`)
  }
  const bytes = await blob.arrayBuffer().catch(() => {
    throw new UserError(`${name} cannot be read. If it was moved or changed, please choose it again.`)
  })
  if (!bytes.byteLength) throw new UserError(`${name} is empty (0 bytes). ${OTHER}`)
  return new Uint8Array(bytes)
}

// A file as a picture {data, width, height} (see resample.js): upright, opaque, at most 1024 pixels long.
export async function openPhoto(blob, bytes) {
  const name = describe(blob)
  const { kind, sizes } = readHeader(bytes)
  for (const [width, height] of sizes) checkSize(width, height, name)
  const bitmap = await decode(blob, kind, name)
  try {
    checkSize(bitmap.width, bitmap.height, name)
    return scaleDown(bitmap)
  } finally {
    bitmap.close()
  }
}

function checkSize(width, height, name) {
  if (width * height > MAXIMUM_PIXELS) {
    const limit = MAXIMUM_PIXELS / 1e6
    const size = `${width} x ${height} pixels, and the limit is ${limit} million`
    throw new UserError(`${name} is too large: ${size}. Please scale it down first.`)
  }
  if (width * height === 0) throw new UserError(`${name} has no pixels (${width} x ${height}). ${OTHER}`)
}

async function decode(blob, kind, name) {
  try {
    return await createImageBitmap(blob, { imageOrientation: "from-image" })
  } catch {
    if (!kind) throw new UserError(`${name} is not a photograph that can be read. ${READABLE}`)
    if (["HEIC", "AVIF", "TIFF"].includes(kind))
      throw new UserError(`${name} (${kind}) is damaged, or this browser cannot read ${kind}. Please convert it to JPEG.`)
    throw new UserError(`${name} is damaged or incomplete. ${OTHER}`)
  }
}

// Whole blocks of pixels are averaged first, as far as twice the size that is wanted, since filtering all pixels of a
// large photograph would take long, and to nobody's benefit.
function scaleDown(bitmap) {
  const factor = Math.max(1, Math.floor(Math.max(bitmap.width, bitmap.height) / (2 * LONGEST_SIDE)))
  const reduced = readReduced(bitmap, factor)
  return resize(reduced, ...thumbnailSize(reduced), BICUBIC)
}

// Width and height at which the longer side is at most 1024 and the shorter fits it best, as Pillow's `thumbnail` has it.
function thumbnailSize({ width, height }) {
  if (Math.max(width, height) <= LONGEST_SIDE) return [width, height]
  const aspect = width / height
  const nearest = (side, fault) => {
    const [low, high] = [Math.floor(side), Math.ceil(side)]
    return Math.max(fault(low) <= fault(high) ? low : high, 1)
  }
  if (aspect <= 1) return [nearest(LONGEST_SIDE * aspect, (n) => Math.abs(aspect - n / LONGEST_SIDE)), LONGEST_SIDE]
  return [LONGEST_SIDE, nearest(LONGEST_SIDE / aspect, (n) => (n === 0 ? 0 : Math.abs(aspect - LONGEST_SIDE / n)))]
}

// The pixels of a bitmap on white, blocks averaged, read tile by tile: a canvas of 89 million pixels is more than some
// browsers can make.
function readReduced(bitmap, factor) {
  const result = { width: Math.ceil(bitmap.width / factor), height: Math.ceil(bitmap.height / factor) }
  result.data = new Uint8ClampedArray(4 * result.width * result.height)
  const side = Math.ceil(TILE / factor) * factor
  const canvas = new OffscreenCanvas(Math.min(side, bitmap.width), Math.min(side, bitmap.height))
  const pen = canvas.getContext("2d", { alpha: false, willReadFrequently: true })
  pen.fillStyle = "white"
  for (let top = 0; top < bitmap.height; top += side)
    for (let left = 0; left < bitmap.width; left += side) {
      const [width, height] = [Math.min(side, bitmap.width - left), Math.min(side, bitmap.height - top)]
      pen.fillRect(0, 0, width, height)
      pen.drawImage(bitmap, left, top, width, height, 0, 0, width, height)
      reduce(pen.getImageData(0, 0, width, height), factor, result, left / factor, top / factor)
    }
  return result
}

// A picture as the encoder sees it: Uint8Array (3, side, side), red, then green, then blue.
export function squeeze(picture, side) {
  const { data } = resize(picture, side, side, BILINEAR)
  const planes = new Uint8Array(3 * side * side)
  for (let pixel = 0; pixel < side * side; pixel++)
    for (let band = 0; band < 3; band++) planes[band * side * side + pixel] = data[4 * pixel + band]
  return planes
}

// A picture as a JPEG, which has no metadata since the picture has none.
export function toJpeg(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height)
  canvas.getContext("2d").putImageData(new ImageData(picture.data, picture.width, picture.height), 0, 0)
  return canvas.convertToBlob({ type: "image/jpeg", quality: JPEG_QUALITY })
}
