// Reading given sentences with a decoder (see search.js), as captioner/reading.py: how probable are they?

import { withoutForbidden } from "./search.js"

// Natural log-probability of each sentence, with its end. Sentences that a search has found begin alike, so each
// beginning is read once, for all that have it.
export async function sentenceLogProbs(decoder, grid, sentences, special) {
  const ended = sentences.map((sentence) => [...sentence, special.end])
  const totals = ended.map(() => 0)
  let { memory, state } = await decoder.start(grid)
  let words = [special.start]
  let places = ended.map(() => 0) // of each sentence's beginning among the K that are read
  for (let length = 0; words.length; length++) {
    const step = await decoder.step(words, state, memory)
    const logProbs = step.logProbs.map((row) => withoutForbidden(row, special))
    const longer = new Map() // beginning -> {place, parent, word}
    ended.forEach((sentence, number) => {
      if (length >= sentence.length) return
      totals[number] += logProbs[places[number]][sentence[length]]
      if (length + 1 === sentence.length) return
      const beginning = sentence.slice(0, length + 1).join(" ")
      const parent = places[number]
      if (!longer.has(beginning)) longer.set(beginning, { place: longer.size, parent, word: sentence[length] })
      places[number] = longer.get(beginning).place
    })
    state = step.state.select([...longer.values()].map(({ parent }) => parent))
    words = [...longer.values()].map(({ word }) => word)
  }
  return totals
}
