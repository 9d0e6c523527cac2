// The settings of the search as sliders: the same, with the same words, as `page/settings.py` has them.

import { element } from "./elements.js"

// Name, label, lowest, highest, step, help.
const SEARCH = {
  beam: [
    ["beamSize", "Beam size", 2, 10, 1],
    [
      "rerank", "Reranking", 0, 1, 0.1,
      "Of the sentences found, prefer the one that agrees with the others and would not suit just any photograph, and " +
        "that says no word twice which people say once. 0 takes the best score, and so does a model that was not " +
        "finished for it.",
    ],
    [
      "match", "Matching", 0, 10, 0.5,
      "How much a judge counts in reranking: a second network, which has learnt what sentence goes with what " +
        "photograph. 0 leaves it out, and a model need not have one.",
    ],
  ],
  sample: [
    [
      "temperature", "Creativity (temperature)", 0.1, 2, 0.1,
      "Low values keep to the likeliest words, high ones dare more.",
    ],
    [
      "topP", "Choose among the likeliest (top-p)", 0.1, 1, 0.05,
      "Words are drawn from the likeliest ones that have this share of the probability.",
    ],
    ["beamSize", "Captions to draw", 1, 10, 1],
    ["seed", "Seed", 0, 2 ** 31, 1],
  ],
  greedy: [],
}
const ALTERNATIVES = ["alternatives", "Alternatives, at most", 0, 9, 1, "A larger beam, or more draws, find more of them."]
const FORM = [
  ["minimumLength", "Words, at least", 1, 40, 1],
  ["maximumLength", "Words, at most", 1, 40, 1],
  ["lengthPenalty", "Length penalty", 0, 2, 0.1, "Higher values favour longer sentences."],
  ["blockNgram", "Never repeat a phrase of … words", 0, 5, 1, "0 allows repetition."],
]
const DRAWS = 5 // that many captions are drawn, unless the visitor says otherwise

// Call `changed` with all settings whenever one of them changes.
export function startSettings(defaults, changed) {
  const form = document.querySelector("#settings form")
  const values = { beam: { ...defaults }, sample: { beamSize: DRAWS }, method: "beam" }
  // What is set stays set while it is not shown; the sizes of beam and draws are two.
  const kept = (name) => (values.method === "sample" && name === "beamSize" ? values.sample : values.beam)
  const settings = () => {
    const shown = [...shownOf(values.method), ...FORM].map(([name]) => [name, kept(name)[name]])
    return { method: values.method, ...Object.fromEntries(shown) }
  }
  const control = (row) => makeControl(row, kept(row[0])[row[0]], (value) => set(row[0], value))

  function set(name, value) {
    kept(name)[name] = value
    // The shortest may not be longer than the longest.
    const other = { minimumLength: "maximumLength", maximumLength: "minimumLength" }[name]
    if (other && values.beam.minimumLength > values.beam.maximumLength) {
      values.beam[other] = value
      form.querySelector(`[name=${other}]`).replaceValue(value)
    }
    changed(settings())
  }

  function draw() {
    form.querySelector(".search").replaceChildren(...shownOf(values.method).map(control))
  }

  form.querySelectorAll("[name=method]").forEach((radio) => {
    radio.checked = radio.value === values.method
    radio.onchange = () => {
      values.method = radio.value
      draw()
      changed(settings())
    }
  })
  form.onsubmit = (event) => event.preventDefault()
  form.querySelector(".form").replaceChildren(...FORM.map(control))
  draw()
  return settings
}

const shownOf = (method) => (method === "greedy" ? [] : [...SEARCH[method], ALTERNATIVES])

function makeControl([name, label, low, high, step, help], value, set) {
  const made = element("div", "setting")
  const id = `setting-${name}`
  const kind = name === "seed" ? "number" : "range"
  const input = element("input", "", "", { type: kind, id, name, min: low, max: high, step })
  const output = element("output", "", "", { for: id })
  input.replaceValue = (next) => {
    input.value = next
    output.textContent = kind === "range" ? next : ""
  }
  input.replaceValue(value)
  input.oninput = () => (output.textContent = kind === "range" ? Number(input.value) : "")
  input.onchange = () => {
    if (input.value && input.checkValidity()) set(Number(input.value))
    else input.replaceValue(value)
  }
  const labelled = element("label", "", "", { for: id })
  labelled.append(element("span", "", label), output)
  made.append(labelled, input)
  if (help) {
    input.setAttribute("aria-describedby", `${id}-help`)
    made.append(element("p", "help", help, { id: `${id}-help` }))
  }
  return made
}
