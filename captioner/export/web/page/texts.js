// Captions as texts: numbers for people, alternative text to paste, and rows of files, as Python's `certainty`,
// `page/downloads` and `rows` write them.

const COLUMNS = [
  "file", "caption", "score", "words", "log_probs", "alternatives", "error", "start", "end", "duration", "scenes",
]
// What a spreadsheet would take for a formula; with an apostrophe before it, it is text.
const FORMULA = /^'*[=+\-@\t\r]/

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`

// A natural log-probability as a percentage with two significant digits, however small.
export function percent(logProb) {
  const value = 100 * Math.exp(logProb)
  const decimals = value >= 10 ? 0 : 1 - Math.floor(Math.log10(Math.max(value, 1e-12)))
  return `${value.toFixed(decimals)} %`
}

// Mean natural log-probability of a caption's words and its end.
export const wordMean = (caption) => caption.logProb / (caption.words.length + 1)

export const isUnsure = (caption, limit) => wordMean(caption) < limit

const escaped = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;" }
const escape = (text) => text.replace(/[&<>"']/g, (mark) => escaped[mark])

// A file's name as an address, as Python's `urllib.parse.quote` writes it.
function quote(name) {
  const hex = (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(name.toWellFormed()).replace(/[!'()*]/g, hex).replaceAll("%2F", "/")
}

export const altHtml = (name, text) => `<img src="${escape(quote(name))}" alt="${escape(text)}">`

export const altMarkdown = (name, text) => `![${text.replace(/[\\[\]]/g, "\\$&")}](${quote(name)})`

const rounded = (value) => Math.round(value * 1e4) / 1e4

// What is written of a caption to files.
export function fields(caption) {
  return {
    caption: caption.text,
    score: rounded(caption.score),
    words: caption.words,
    log_probs: caption.logProbs.map(rounded),
  }
}

export const row = (name, caption) => ({ file: name, ...fields(caption) })

// A caption, and the others that it was chosen from, as a file.
export function captionJson(name, caption, best) {
  const others = [best, ...best.alternatives].filter((other) => other !== caption).map(fields)
  return JSON.stringify({ ...row(name, caption), alternatives: others }, null, 1)
}

// A whole file of rows, "csv" (RFC 4180, with a header) or "jsonl".
export function rowsFile(rows, kind) {
  if (kind === "jsonl") return rows.map((entry) => `${JSON.stringify(entry)}\n`).join("")
  const lines = rows.map((entry) => COLUMNS.map((name) => cell(entry[name])).join(","))
  return [COLUMNS.join(","), ...lines].map((line) => `${line}\r\n`).join("")
}

function cell(value) {
  if (value === undefined) return ""
  const text = typeof value === "string" ? value : JSON.stringify(value)
  const harmless = typeof value === "string" && FORMULA.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
