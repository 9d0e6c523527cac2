// Words and their ids, and sentences of them, as captioner/vocabulary.py has them.

const SPECIAL_WORDS = 4 // they come first: padding, start, end, unknown

const attached = (word) => word.startsWith("'") || word === "n't"

// Write words as a sentence: "a man 's hat" becomes "A man's hat.". Penn Treebank splits clitics off; in a sentence
// they belong to the word before.
export function joinWords(words) {
  const text = words.reduce((before, word) => (attached(word) || !before ? before + word : `${before} ${word}`), "")
  const [first, ...others] = text // by whole characters, not by halves of them
  return text ? `${first.toUpperCase()}${others.join("")}.` : ""
}

// Each word as it stands in the sentence: the first with a capital, the last with the full stop.
export function displayedWords(words) {
  const shown = [...words]
  shown[0] = joinWords(shown.slice(0, 1)).slice(0, -1)
  shown[shown.length - 1] += "."
  return shown
}

// The words a model can write, in the order of their ids.
export class Vocabulary {
  constructor(words, special) {
    this.words = words
    this.special = special
    this.ids = new Map(words.map((word, id) => [word, id]))
  }

  encode(words) {
    return words.map((word) => this.ids.get(word) ?? this.special.unknown)
  }

  // Words of ids, up to the end and without special words.
  decode(ids) {
    const end = ids.indexOf(this.special.end)
    const written = end < 0 ? ids : ids.slice(0, end)
    return written.filter((id) => id >= SPECIAL_WORDS).map((id) => this.words[id])
  }
}
