// Pictures of a caption's maps, laid out as `overlay.py` does: one map, all maps as a figure, and the walk through them.
// `picture` is { photo, palette, paint }: a Blob, the colours of maps, and the viewer's way to draw one.

import { encodeGif } from "./gif.js"

const FONT = '"Source Sans 3", system-ui, sans-serif'
const STRENGTH = 0.75
const SECONDS_A_WORD = 0.9

// The photograph at a size whose longer side is `side` at most.
async function shrunk(photo, side) {
  const whole = await createImageBitmap(photo)
  const scale = Math.min(1, side / Math.max(whole.width, whole.height))
  const size = { width: Math.max(1, Math.round(whole.width * scale)), height: Math.max(1, Math.round(whole.height * scale)) }
  return { image: whole, ...size }
}

function makeCanvas(width, height) {
  const canvas = document.createElement("canvas")
  canvas.width = width
  canvas.height = height
  const pen = canvas.getContext("2d", { willReadFrequently: true })
  pen.imageSmoothingQuality = "high"
  pen.fillStyle = "white"
  pen.fillRect(0, 0, width, height)
  pen.textBaseline = "top"
  return { canvas, pen }
}

// A photograph with a map over it, or without.
function place(pen, small, picture, map, left, top, strength = STRENGTH) {
  pen.drawImage(small.image, left, top, small.width, small.height)
  if (!map) return
  const layer = document.createElement("canvas")
  picture.paint(layer, map, { ...small, palette: picture.palette }, strength)
  pen.drawImage(layer, left, top, small.width, small.height)
}

const toPng = (canvas) =>
  new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png")
  })

// Where each word begins, in lines at most so wide: [left, line] of each, and the number of lines.
function layOut(words, pen, width) {
  const places = []
  let [left, line] = [0, 0]
  for (const word of words) {
    const length = pen.measureText(word).width
    if (places.length && left + length > width) [left, line] = [0, line + 1]
    places.push([left, line])
    left += length + pen.measureText(" ").width + 4
  }
  return { places, lines: line + 1 }
}

export async function drawMap(picture, caption, chosen, strength) {
  const small = await shrunk(picture.photo, Infinity)
  const { canvas, pen } = makeCanvas(small.width, small.height)
  place(pen, small, picture, caption.maps[chosen], 0, 0, strength)
  return toPng(canvas)
}

export async function drawFigure(picture, caption, columns = 4, tile = 240) {
  const small = await shrunk(picture.photo, tile)
  const pictures = [[null, ""], ...caption.maps.map((map, index) => [map, caption.words[index]])]
  const [margin, line] = [12, 26]
  const plain = `16px ${FONT}`
  const bold = `600 20px ${FONT}`
  const measure = makeCanvas(1, 1).pen
  measure.font = plain
  const widest = Math.max(...caption.words.map((word) => measure.measureText(word).width))
  const [cellWidth, cellHeight] = [Math.max(small.width, Math.ceil(widest)) + margin, small.height + line + margin]
  const across = Math.min(columns, pictures.length)
  const width = Math.max(across * cellWidth + margin, 320)
  measure.font = bold
  const sentence = caption.text.split(" ")
  const title = layOut(sentence, measure, width - 2 * margin)
  const top = margin + line * title.lines + margin / 2
  const { canvas, pen } = makeCanvas(width, top + Math.ceil(pictures.length / across) * cellHeight)
  pen.fillStyle = "black"
  pen.font = bold
  sentence.forEach((word, index) => {
    const [left, row] = title.places[index]
    pen.fillText(word, margin + left, margin + line * row)
  })
  pen.font = plain
  pen.textAlign = "center"
  pictures.forEach(([map, word], index) => {
    const left = margin + (index % across) * cellWidth
    const upper = top + Math.floor(index / across) * cellHeight
    place(pen, small, picture, map, left + (cellWidth - margin - small.width) / 2, upper)
    pen.fillText(word, left + (cellWidth - margin) / 2, upper + small.height + 4)
  })
  return toPng(canvas)
}

// The photograph as it is, then with the map of each word, the sentence below it with that word marked.
export async function drawWalk(picture, caption, side = 480) {
  const small = await shrunk(picture.photo, side)
  const [margin, line] = [12, 28]
  const width = Math.max(small.width, 240)
  const measure = makeCanvas(1, 1).pen
  measure.font = `20px ${FONT}`
  const { places, lines } = layOut(caption.words, measure, width - 2 * margin)
  const height = small.height + 2 * margin + line * lines
  const { pen } = makeCanvas(width, height)
  pen.font = measure.font
  const frames = []
  for (let chosen = -1; chosen < caption.words.length; chosen++) {
    pen.fillStyle = "white"
    pen.fillRect(0, 0, width, height)
    place(pen, small, picture, caption.maps[chosen], Math.floor((width - small.width) / 2), 0)
    caption.words.forEach((word, index) => {
      const [left, row] = places[index]
      const [x, y] = [margin + left, small.height + margin + row * line]
      if (index === chosen) {
        pen.fillStyle = `rgb(${picture.palette[3].join(" ")})`
        pen.beginPath()
        pen.roundRect(x - 4, y, pen.measureText(word).width + 8, line - 2, 4)
        pen.fill()
      }
      pen.fillStyle = index === chosen ? "white" : "black"
      pen.fillText(word, x, y + 3)
    })
    const last = chosen === caption.words.length - 1
    frames.push({ pixels: pen.getImageData(0, 0, width, height).data, seconds: SECONDS_A_WORD * (last ? 2 : 1) })
    await new Promise((resolve) => setTimeout(resolve)) // the page goes on living
  }
  return encodeGif(frames, width, height)
}
