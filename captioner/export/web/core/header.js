// What the first bytes of a file say of the picture in it: its kind and, where that is easily read, its size, so that
// one that would need more memory than anyone has is refused before it is decoded.

const text = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to))

// {kind, sizes}: "JPEG" and others, "" if none is known; sizes are [width, height], several in a HEIC or AVIF, whose
// tiles and thumbnails have their own, and none where they cannot be read.
export function readHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    if (text(bytes, 0, 3) === "\xff\xd8\xff") return { kind: "JPEG", sizes: jpegSizes(bytes, view) }
    if (text(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return { kind: "PNG", sizes: [[view.getUint32(16), view.getUint32(20)]] }
    if (/^GIF8[79]a/.test(text(bytes, 0, 6)))
      return { kind: "GIF", sizes: [[view.getUint16(6, true), view.getUint16(8, true)]] }
    if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP") return { kind: "WebP", sizes: webpSizes(bytes, view) }
    if (text(bytes, 0, 2) === "BM")
      return { kind: "BMP", sizes: [[view.getInt32(18, true), Math.abs(view.getInt32(22, true))]] }
    if (text(bytes, 4, 8) === "ftyp") return { kind: heifKind(bytes), sizes: heifSizes(bytes, view) }
    if (/^(II\*\0|MM\0\*)/.test(text(bytes, 0, 4))) return { kind: "TIFF", sizes: [] }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return { kind: "", sizes: [] } // it ends before it has said how large it is
  }
  return { kind: "", sizes: [] }
}

// Markers of a JPEG: 0xFF, a code, and (with few exceptions) a length; those that start a frame have its size.
function jpegSizes(bytes, view) {
  for (let at = 2; at < bytes.length; ) {
    if (bytes[at] !== 0xff) return []
    const code = bytes[at + 1]
    const startsFrame = code >= 0xc0 && code <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(code)
    if (startsFrame) return [[view.getUint16(at + 7), view.getUint16(at + 5)]]
    if (code === 0xff) at += 1 // filling
    else at += 2 + view.getUint16(at + 2)
  }
  return []
}

function webpSizes(bytes, view) {
  const kind = text(bytes, 12, 16)
  const three = (at) => view.getUint16(at, true) + (bytes[at + 2] << 16)
  if (kind === "VP8X") return [[three(24) + 1, three(27) + 1]]
  if (kind === "VP8L") {
    const bits = view.getUint32(21, true)
    return [[(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1]]
  }
  return [[view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff]]
}

// AVIF and HEIC are siblings; which of them a file is, its brands say.
function heifKind(bytes) {
  const brands = text(bytes, 8, Math.min(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), 64))
  if (/avi[fs]/.test(brands)) return "AVIF"
  return /hei[cxms]|hev[cxms]|mif1|msf1/.test(brands) ? "HEIC" : ""
}

// Each coded picture has a property "ispe": version and flags, which are 0, then width and height.
function heifSizes(bytes, view) {
  const sizes = []
  for (let at = bytes.indexOf(0x69); at >= 0 && at + 16 <= bytes.length; at = bytes.indexOf(0x69, at + 1))
    if (view.getUint32(at) === 0x69737065 && view.getUint32(at + 4) === 0)
      sizes.push([view.getUint32(at + 8), view.getUint32(at + 12)])
  return sizes
}
