// Choosing among the sentences that a search has found: the one that agrees most with all of them, each weighing as much
// as its evidence says (minimum Bayes risk); sentences that say twice what people say once come last. The ideas and their
// papers are in captioner/rerank.py.

const LONGEST = 4

// The order in which to prefer sentences, as indices, best first. `evidence` is what speaks for each, as a
// log-probability but for a constant; `repeatable` a Set of words that may stand twice; if it is empty, all may.
export function inOrder(sentences, evidence, repeatable) {
  const odd = sentences.map((ids) => repeatable.size > 0 && repeats(ids, repeatable))
  return [false, true].flatMap((last) => {
    const places = [...sentences.keys()].filter((place) => odd[place] === last)
    const preferred = byAgreement(
      places.map((place) => sentences[place]),
      places.map((place) => evidence[place]),
    )
    return preferred.map((index) => places[index])
  })
}

function repeats(ids, repeatable) {
  const once = ids.filter((word) => !repeatable.has(word))
  return new Set(once).size < once.length
}

function byAgreement(sentences, evidence) {
  const peak = Math.max(...evidence)
  const weights = evidence.map((value) => Math.exp(value - peak))
  const counts = sentences.map(ngramCounts)
  const agreement = counts.map((own) => counts.reduce((sum, other, k) => sum + weights[k] * agree(own, other), 0))
  return [...sentences.keys()].sort((a, b) => agreement[b] - agreement[a])
}

// How far two sentences agree, from 0 to 1: the mean of their n-grams' F-measures, n = 1..4.
function agree(own, other) {
  const measures = own.map((counts, order) => {
    let common = 0
    for (const [ngram, count] of counts.found) common += Math.min(count, other[order].found.get(ngram) ?? 0)
    return (2 * common) / Math.max(counts.total + other[order].total, 1)
  })
  return measures.reduce((sum, value) => sum + value, 0) / LONGEST
}

// For n = 1..4: how often each n-gram stands in a sentence, and how many there are.
function ngramCounts(ids) {
  return Array.from({ length: LONGEST }, (_, index) => {
    const total = Math.max(ids.length - index, 0)
    const found = new Map()
    for (let start = 0; start < total; start++) {
      const ngram = ids.slice(start, start + index + 1).join(" ")
      found.set(ngram, (found.get(ngram) ?? 0) + 1)
    }
    return { total, found }
  })
}
