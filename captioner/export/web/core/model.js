// The whole model, as captioner/captioner.py has it: pixels to a grid, and a grid to a caption.

import { Decoder } from "./decoder.js"
import { sentenceLogProbs } from "./reading.js"
import { inOrder } from "./rerank.js"
import { search } from "./search.js"
import { displayedWords, joinWords, Vocabulary } from "./vocabulary.js"

const CANDIDATES = 5

export class Model {
  // What captioner.json says, and the graphs by name: encoder, memory, step and, if the model has one, matcher.
  constructor(about, graphs) {
    const { config, special, forbidden, vocabulary, typical_grid: typical } = about
    this.graphs = graphs
    this.side = config.encoder.image_size
    this.cell = config.decoder.cell
    this.decoder = new Decoder(graphs.memory, graphs.step, config.decoder.width)
    this.special = { ...special, forbidden }
    this.vocabulary = new Vocabulary(vocabulary, special)
    this.typical = typical && { data: Float32Array.from(typical), dims: [1, typical.length, 1, 1] }
    this.repeatable = new Set(this.vocabulary.encode(config.repeatable))
  }

  // The expensive part, once: Uint8Array (3, S, S) to a grid {data, dims}.
  async encode(pixels) {
    const { grid } = await this.graphs.encoder.run({ photos: { data: pixels, dims: [1, 3, this.side, this.side] } })
    return grid
  }

  // The cheap part, as often as settings (see settings.js) change: a grid to a caption with its alternatives.
  async decode(grid, settings) {
    let found = await search(this.decoder, grid, this.special, settings)
    if (settings.rerank && this.typical && found.length > 1) found = await this.rerank(found, grid, settings)
    const distinct = new Map()
    for (const hypothesis of found) {
      const words = this.vocabulary.decode(hypothesis.ids)
      const text = joinWords(words)
      if (!distinct.has(text)) distinct.set(text, { text, words, ...hypothesis })
    }
    const captions = [...distinct.values()].slice(0, settings.alternatives + 1)
    const [best, ...alternatives] = captions.map((sentence) => this.asCaption(sentence, ...grid.dims.slice(2)))
    return { ...best, alternatives }
  }

  // What of a hypothesis is of interest to a page.
  asCaption({ text, words, logProbs, logProb, score, attention, rows, inner }, height, width) {
    const maps = attention.map((weights) => inRows(weights, height, width))
    const candidates = rows.map((row) => this.candidates(row))
    const start = percentages(new Float32Array(this.decoder.width))
    const hidden = [0, 1].map((cell) => [start, ...inner.map((each) => percentages(each.hidden[cell]))])
    const gates = [0, 1].map((cell) => inner.map((each) => percentages(each.gates[cell])))
    const shown = displayedWords(words)
    return { text, words, shown, logProbs, logProb, score, maps, candidates, cell: this.cell, hidden, gates }
  }

  // The likeliest words of a row of log-probabilities, as [word, logProb], likeliest first; the end is the word "".
  candidates(row) {
    const best = []
    row.forEach((value, id) => {
      if (best.length === CANDIDATES && value <= row[best.at(-1)]) return
      const place = best.findIndex((other) => row[other] < value)
      best.splice(place < 0 ? best.length : place, 0, id)
      best.length = Math.min(best.length, CANDIDATES)
    })
    return best.map((id) => [id === this.special.end ? "" : this.vocabulary.words[id], row[id]])
  }

  // Hypotheses in the order in which to prefer them (see rerank.js).
  async rerank(found, grid, settings) {
    const sentences = found.map((hypothesis) => hypothesis.ids)
    const priors = await sentenceLogProbs(this.decoder, this.typical, sentences, this.special)
    const fits = settings.match && this.graphs.matcher ? await this.match(grid, sentences) : sentences.map(() => 0)
    const evidence = found.map(({ logProb }, k) => logProb - settings.rerank * priors[k] + settings.match * fits[k])
    return inOrder(sentences, evidence, this.repeatable).map((place) => found[place])
  }

  // How well sentences suit a photograph.
  async match(grid, sentences) {
    const longest = Math.max(...sentences.map((ids) => ids.length))
    const data = sentences.flatMap((ids) => [...ids, ...Array(longest - ids.length).fill(0)])
    const { fit } = await this.graphs.matcher.run({ grid, sentences: { data, dims: [1, sentences.length, longest] } })
    return [...fit.data]
  }
}

function percentages(values) {
  return Array.from(values, (value) => Math.round(100 * value))
}

function inRows(weights, height, width) {
  return Array.from({ length: height }, (_, row) => Array.from(weights.subarray(row * width, (row + 1) * width)))
}
