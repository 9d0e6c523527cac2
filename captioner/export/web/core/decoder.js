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
    return {
      logProbs: rows(outputs.log_probs),
      attention: rows(outputs.attention),
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

// The rows of an output with dims [1, K, N].
function rows({ data, dims }) {
  return Array.from({ length: dims[1] }, (_, row) => data.subarray(row * dims[2], (row + 1) * dims[2]))
}
