// Beam search and sampling over one photograph, as captioner/search.py does it over several.
//
// A decoder has `start(grid)`, which gives {memory, state} of one hypothesis, and `step(words, state, memory)`, which
// reads a word of each of K hypotheses and gives {logProbs, attention, inner, state}: K rows of V log-probabilities of the
// next word, K rows of L weights, what else is of interest of each, and a state that has `select(parents)`, which
// reorders hypotheses.
//
// A hypothesis is {ids, logProbs, attention, rows, inner}, with one entry for each of its T words: its id, its
// log-probability, where the decoder looked (L), the log-probabilities of all words that might have stood there (V), and
// what went on inside. A finished one also has `logProb`, that of the sentence and its end, and `score`, which is that
// divided by (T + 1) to the length penalty; its `rows` and `inner` have one more entry, for the end.

const EMPTY = { ids: [], logProbs: [], attention: [], rows: [], inner: [] }

// Hypotheses with at least one word, at least one of them, best score first.
export async function search(decoder, grid, special, settings) {
  const method = settings.method === "sample" ? sample : beam
  const found = await method(decoder, grid, special, settings)
  return found.sort((a, b) => b.score - a.score)
}

// Beam search: keep the K likeliest beginnings at every word, set complete sentences aside.
async function beam(decoder, grid, special, settings) {
  const beams = settings.method === "greedy" ? 1 : settings.beamSize
  let { memory, state } = await decoder.start(grid)
  let words = [special.start]
  let paths = [EMPTY] // the live ones alone: all beams would start alike
  let totals = [0]
  const found = []
  for (let length = 0; length <= settings.maximumLength; length++) {
    const step = await decoder.step(words, state, memory)
    const logProbs = step.logProbs.map((row) => withoutForbidden(row, special))
    const allowed = logProbs.map((row, path) => restrict(row, paths[path].ids, special, settings))
    const ending = allowed.map((row, path) => totals[path] + row[special.end])
    const best = likeliest(allowed, totals, beams, special.end)
    // A sentence ends where its end is among the K best continuations of all.
    const continuations = [...best.map((next) => next.total), ...ending].sort((a, b) => b - a)
    const worst = continuations[beams - 1] ?? -Infinity
    ending.forEach((total, path) => {
      if (total > -Infinity && total >= worst)
        found.push(finish(paths[path], logProbs[path], step.inner[path], special.end, settings.lengthPenalty))
    })
    if (!best.length || isSettled(found, best[0].total, length, beams, settings)) break
    paths = best.map(({ path, word }) => extend(paths[path], word, logProbs[path], step, path))
    state = step.state.select(best.map((next) => next.path))
    words = best.map((next) => next.word)
    totals = best.map((next) => next.total)
  }
  return found
}

// The likeliest ways to go on with any path, but for ending it: at most `count` of {total, path, word}, best first.
function likeliest(allowed, totals, count, end) {
  const best = []
  allowed.forEach((row, path) => {
    for (let word = 0; word < row.length; word++) {
      const total = totals[path] + row[word]
      if (word === end || total === -Infinity || (best.length === count && total <= best[count - 1].total)) continue
      let place = best.length
      while (place > 0 && best[place - 1].total < total) place--
      best.splice(place, 0, { total, path, word })
      if (best.length > count) best.pop()
    }
  })
  return best
}

// Whether a search may stop: enough sentences, and no live one promises to beat them. The promise is that of ending with
// the next word: with a length penalty a much longer sentence could still do better, so this is a heuristic.
function isSettled(found, live, length, beams, settings) {
  if (length === settings.maximumLength) return true
  if (found.length < beams) return false
  if (beams === 1) return true // greedy: the end was the likeliest word
  const kept = found.map((hypothesis) => hypothesis.score).sort((a, b) => b - a)
  return live / (length + 2) ** settings.lengthPenalty <= kept[beams - 1]
}

// Draw K sentences, from the likeliest words that make up `topP` (Holtzman et al. 2020, arXiv:1904.09751).
async function sample(decoder, grid, special, settings) {
  const random = generator(settings.seed)
  let { memory, state } = await decoder.start(grid)
  state = state.select(Array(settings.beamSize).fill(0))
  let words = Array(settings.beamSize).fill(special.start)
  let paths = words.map(() => EMPTY) // the unfinished ones alone
  const found = []
  while (paths.length) {
    const step = await decoder.step(words, state, memory)
    const going = []
    const next = []
    paths.forEach((path, place) => {
      const logProbs = withoutForbidden(step.logProbs[place], special)
      const word = draw(restrict(logProbs, path.ids, special, settings), random(), settings)
      if (word === special.end)
        return found.push(finish(path, logProbs, step.inner[place], word, settings.lengthPenalty))
      going.push(place)
      next.push(extend(path, word, logProbs, step, place))
    })
    paths = next
    words = paths.map((path) => path.ids.at(-1))
    state = step.state.select(going)
  }
  return found
}

// Draw a word by inverting the cumulative distribution at a number, uniform in 0..1.
function draw(logProbs, number, { temperature, topP }) {
  const probabilities = softmax(logProbs, temperature)
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a])
  const kept = []
  let mass = 0
  for (const word of order) {
    if (kept.length && (mass >= topP || !probabilities[word])) break // the likeliest word always stays
    mass += probabilities[word]
    kept.push(word)
  }
  let left = number * mass
  return kept.find((word) => (left -= probabilities[word]) < 0) ?? kept.at(-1) // against rounding at the upper end
}

function softmax(logProbs, temperature) {
  const peak = logProbs.reduce((most, value) => Math.max(most, value), -Infinity)
  const shares = Float64Array.from(logProbs, (value) => Math.exp((value - peak) / temperature))
  const sum = shares.reduce((total, value) => total + value, 0)
  return shares.map((value) => value / sum)
}

// Numbers from 0 to 1, always the same for a seed: a counter, mixed by the finaliser of MurmurHash3 (Appleby 2011).
export function generator(seed) {
  let counter = mix(mix(Math.floor(seed / 2 ** 32)) ^ seed)
  return () => mix((counter = (counter + 0x9e3779b9) | 0)) / 2 ** 32
}

function mix(value) {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}

// A path one word further, having been number `place` of a step.
function extend(path, word, row, step, place) {
  return {
    ids: [...path.ids, word],
    logProbs: [...path.logProbs, row[word]],
    attention: [...path.attention, step.attention[place]],
    rows: [...path.rows, row],
    inner: [...path.inner, step.inner[place]],
  }
}

function finish(path, row, inner, end, lengthPenalty) {
  const logProb = path.logProbs.reduce((total, value) => total + value, row[end])
  const score = logProb / (path.ids.length + 1) ** lengthPenalty
  return { ...path, rows: [...path.rows, row], inner: [...path.inner, inner], logProb, score }
}

// Log-probabilities (V) given that no forbidden word is written; their probabilities sum to 1 again.
export function withoutForbidden(logProbs, special) {
  const row = Float32Array.from(logProbs)
  for (const word of special.forbidden) row[word] = -Infinity
  const peak = row.reduce((most, value) => Math.max(most, value), -Infinity)
  const norm = peak + Math.log(row.reduce((total, value) => total + Math.exp(value - peak), 0))
  return row.map((value) => value - norm)
}

// Log-probabilities (V) of the words that may come after `ids`, -Infinity for those that may not. Where lengths and
// repetition leave no word, the sentence may end.
function restrict(logProbs, ids, special, settings) {
  const end = logProbs[special.end]
  if (ids.length >= settings.maximumLength) return logProbs.map((_, word) => (word === special.end ? end : -Infinity))
  const allowed = logProbs.slice()
  if (ids.length < settings.minimumLength) allowed[special.end] = -Infinity
  for (const word of repeating(ids, settings.blockNgram)) allowed[word] = -Infinity
  if (ids.length && !allowed.some((value) => value > -Infinity)) allowed[special.end] = end
  return allowed
}

// The words that would make the last `size` words a phrase that stands there already.
function repeating(ids, size) {
  if (size === 0 || ids.length < size) return []
  const recent = ids.slice(ids.length - size + 1)
  const starts = [...Array(ids.length - size + 1).keys()]
  return starts.filter((start) => recent.every((word, k) => ids[start + k] === word)).map((start) => ids[start + size - 1])
}
