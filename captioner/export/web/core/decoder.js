// The decoder's two graphs as what a search works on (see search.js); they are described in
// captioner/export/onnx_graphs.py. A grid is {data, dims}, its dims [1, C, H, W].

const STATE = ["attention_hidden", "attention_cell", "language_hidden", "language_cell"]

export class Decoder {
  // The graphs `memory` and `step`, and the decoder's width.
  constructor(memory, step, width) {
    Object.assign(this, { memory, stepGraph: step, width })
  }

  // What is kept of a photograph, and the first state of one hypothesis.
  async start(grid) {
    const zeros = () => new Float32Array(this.width)
    return { memory: await this.memory.run({ grid }), state: new State(STATE.map(zeros), this.width) }
  }

  // Read one word of each of K hypotheses.
  async step(words, state, memory) {
    const outputs = await this.stepGraph.run({ words: { data: words, dims: [1, words.length] }, ...state.inputs(), ...memory })
    const [attentionHidden, languageHidden, gates] = ["next_attention_hidden", "next_language_hidden", "gates"].map(
      (name) => rows(outputs[name]),
    )
    return {
      logProbs: rows(outputs.log_probs),
      attention: rows(outputs.attention),
      inner: words.map((_, k) => ({ hidden: [attentionHidden[k], languageHidden[k]], gates: halves(gates[k]) })),
      state: new State(
        STATE.map((name) => outputs[`next_${name}`].data),
        this.width,
      ),
    }
  }
}

// What the decoder remembers of each hypothesis: K rows in each of four arrays.
class State {
  constructor(parts, width) {
    Object.assign(this, { parts, width })
  }

  // The state of each new hypothesis's parent.
  select(parents) {
    const { width } = this
    const parts = this.parts.map((part) => {
      const chosen = new Float32Array(parents.length * width)
      parents.forEach((parent, place) => chosen.set(part.subarray(parent * width, (parent + 1) * width), place * width))
      return chosen
    })
    return new State(parts, width)
  }

  inputs() {
    const dims = [1, this.parts[0].length / this.width, this.width]
    return Object.fromEntries(STATE.map((name, place) => [name, { data: this.parts[place], dims }]))
  }
}

// The K rows of an output with dims [1, K, ...].
function rows({ data, dims }) {
  const length = data.length / dims[1]
  return Array.from({ length: dims[1] }, (_, row) => data.subarray(row * length, (row + 1) * length))
}

// What is of the attention cell and what of the language cell.
function halves(row) {
  return [row.subarray(0, row.length / 2), row.subarray(row.length / 2)]
}
