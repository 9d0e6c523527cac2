// Reading given sentences with a decoder (see search.js), as captioner/reading.py: how probable are they of a
// photograph, and what else might have been said?

import { withoutForbidden } from "./search.js"

// T + 1 rows of V log-probabilities of what may follow nothing, the first word, the first two, ... of a sentence.
export async function read(decoder, grid, sentence, special) {
  let { memory, state } = await decoder.start(grid)
  const places = []
  for (const word of [special.start, ...sentence]) {
    const step = await decoder.step([word], state, memory)
    places.push(withoutForbidden(step.logProbs[0], special))
    state = step.state
  }
  return places
}

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
