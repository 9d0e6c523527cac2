// Shows a caption whose words are the controls: choosing one shows, on the photograph, where the model looked.
// Everything happens here, without asking the server.

const SECONDS_A_WORD = 0.9
const FINEST = 96 // pixels of a map's longer side; the browser smooths the rest

// Weights of the four neighbours at a fraction between the middle two: cubic convolution (Keys 1981) with a = -1/2.
function neighbours(fraction) {
  const near = (x) => (1.5 * x - 2.5) * x * x + 1
  const far = (x) => ((-0.5 * x + 2.5) * x - 4) * x + 2
  return [far(1 + fraction), near(fraction), near(1 - fraction), far(2 - fraction)]
}

// Enlarge rows of numbers to a length, smoothly; what lies beyond the edge is as at the edge.
function enlarge(rows, length) {
  return rows.map((row) =>
    Array.from({ length }, (_, place) => {
      const at = ((place + 0.5) * row.length) / length - 0.5
      const left = Math.floor(at)
      const weights = neighbours(at - left)
      return weights.reduce((sum, weight, k) => {
        const index = Math.min(Math.max(left - 1 + k, 0), row.length - 1)
        return sum + weight * row[index]
      }, 0)
    }),
  )
}

const transpose = (rows) => rows[0].map((_, column) => rows.map((row) => row[column]))

function colour(palette, heat) {
  const at = heat * (palette.length - 1)
  const low = Math.min(Math.floor(at), palette.length - 2)
  return palette[low].map((value, band) => value + (palette[low + 1][band] - value) * (at - low))
}

// Draw a map as `overlay_attention` does: looked-at places glow, the rest is darkened and stays recognisable.
function paint(canvas, map, data, strength) {
  const scale = FINEST / Math.max(data.width, data.height)
  canvas.width = Math.max(1, Math.round(data.width * scale))
  canvas.height = Math.max(1, Math.round(data.height * scale))
  const peak = Math.max(...map.flat()) || 1
  const heats = transpose(enlarge(transpose(enlarge(map, canvas.width)), canvas.height)).flat()
  const image = new ImageData(canvas.width, canvas.height)
  heats.forEach((value, pixel) => {
    const heat = Math.min(Math.max(value / peak, 0), 1)
    image.data.set([...colour(data.palette, heat), 255 * strength * (0.5 + 0.25 * heat)], 4 * pixel)
  })
  canvas.getContext("2d").putImageData(image, 0, 0)
}

function percent(logProb) {
  const value = 100 * Math.exp(logProb)
  return `${value >= 10 ? value.toFixed(0) : value >= 0.01 ? Number(value.toPrecision(2)) : "< 0.01"} %`
}

function element(tag, className, text = "") {
  const made = document.createElement(tag)
  made.className = className
  made.textContent = text
  return made
}

// What a gate's opening means, by the kind of cell: its name, what its share is, that in a sentence, and, of a gate
// that lets in what it does not keep, what the rest is.
const [KEPT, NEW] = ["kept of the old", "let in of the new"]
const GATES = {
  lstm: [
    ["Forget gate", KEPT, "It says for each number in the cell's memory how much of it stays; the bar is their average."],
    ["Input gate", NEW, "It says how much of what has just been read is added to the memory."],
    ["Output gate", "let out", "It says how much of the memory shows in the hidden state, which is all that others see."],
  ],
  gru: [
    ["Update gate", KEPT, "It says for each number of the hidden state how much of it stays; the bar is their average.", NEW],
    ["Reset gate", "old let into the new", "It says how much of the old state the new one is made from."],
  ],
  rnn: [],
}
const NO_GATES = "A plain recurrent cell has no gates: with each word it makes its whole hidden state anew."
const WHY = {
  hidden: `A hidden state is all that a cell tells of the sentence so far: a list of numbers from −1 to 1. Each square is
    one of them, orange above zero, blue below, and the fainter the nearer to it. The upper ones are from before the cell
    read something, the lower ones from after.`,
  looked: "Attention compares the hidden state with each part of the photograph; what suits it best goes on to the second cell.",
  weighed: "The second cell's hidden state gives every word that the model knows a score, and softmax makes these probabilities.",
}

// Draw numbers from -100 to 100 as squares.
function paintState(canvas, numbers) {
  canvas.width = Math.ceil(Math.sqrt(8 * numbers.length))
  canvas.height = Math.ceil(numbers.length / canvas.width)
  const image = new ImageData(canvas.width, canvas.height)
  numbers.forEach((value, place) => {
    image.data.set([...(value > 0 ? [230, 110, 0] : [30, 110, 230]), 2.55 * Math.abs(value)], 4 * place)
  })
  canvas.getContext("2d").putImageData(image, 0, 0)
}

class Viewer {
  constructor(root) {
    this.root = root
    this.find = (selector) => root.querySelector(selector)
    this.strength = 0.75
    this.chosen = null
    const actions = {
      play: () => (this.timer ? this.stop() : this.play()),
      copy: () => this.copy(),
      read: () => this.read(),
      previous: () => this.go(-1),
      next: () => this.go(1),
    }
    for (const [name, action] of Object.entries(actions)) this.find(`.${name}`).onclick = action
    this.find(".strength input").oninput = (event) => {
      this.strength = event.target.value / 100
      this.paintAll()
      this.explain()
    }
    this.find(".explaining").onchange = (event) => root.classList.toggle("explained", event.target.checked)
    this.find(".read").hidden = !window.speechSynthesis
    root.onkeydown = (event) => this.walk(event)
  }

  // Show a caption; the same one again changes nothing.
  show(data) {
    const key = JSON.stringify([data.key, data.text])
    if (key === this.key) return
    this.leave()
    this.key = key
    this.data = data
    this.chosen = null
    this.address = new URL(data.photo.replace(/^\//, ""), document.baseURI).href // where the page is, wherever that is
    this.find(".photo").src = this.address
    this.find(".photo").alt = data.text
    this.root.style.setProperty("--ratio", data.width / data.height)
    this.find(".sentence").replaceChildren(...data.words.map((_, place) => this.wordButton(place)))
    this.find(".strip").replaceChildren(...data.words.map((_, place) => this.tile(place)))
    this.paintAll()
    this.update()
    this.announce(`Caption: ${data.text}`)
  }

  wordButton(place) {
    const { words, shown, logProbs } = this.data
    const attached = /^('|n't$)/.test(words[place]) // "man" and "'s" are two words of the model and one of the sentence
    const button = element("button", attached ? "word attached" : "word")
    button.type = "button"
    button.append(element("span", "text", shown[place]), element("span", "share", percent(logProbs[place])))
    button.setAttribute("aria-label", `${words[place]}, probability ${percent(logProbs[place])}`)
    button.onclick = () => this.toggle(place)
    return button
  }

  tile(place) {
    const button = element("button", "tile")
    button.type = "button"
    button.append(this.thumb(), element("span", "", this.data.words[place]))
    button.setAttribute("aria-label", `Map of word ${place + 1}, ${this.data.words[place]}`)
    button.onclick = () => this.toggle(place)
    return button
  }

  thumb() {
    const thumb = element("span", "thumb")
    const photo = element("img", "")
    photo.src = this.address
    photo.alt = ""
    thumb.append(photo, document.createElement("canvas"))
    return thumb
  }

  toggle(place) {
    this.stop()
    this.choose(place === this.chosen ? null : place)
  }

  choose(place) {
    this.chosen = place
    this.update()
  }

  // Left and right go from word to word while one of them has the focus.
  walk(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    const group = event.target.closest(".sentence, .strip")
    if (!step || !group) return
    const buttons = [...group.children]
    const place = buttons.indexOf(event.target.closest("button")) + step
    if (place < 0 || place >= buttons.length) return
    event.preventDefault()
    this.stop()
    this.find(".looked").ariaLive = "off" // the focused word speaks for itself
    buttons[place].focus()
    this.choose(place)
  }

  // The word before or after the one that the lesson is about.
  go(step) {
    const place = this.inHood() + step
    if (place < 0 || place >= this.data.words.length) return
    this.stop()
    this.choose(place)
  }

  play() {
    this.find(".looked").ariaLive = "off" // it would talk without end
    this.choose(0)
    this.find(".play").textContent = "Stop"
    this.timer = setInterval(() => {
      if (this.chosen + 1 < this.data.words.length) this.choose(this.chosen + 1)
      else {
        this.stop()
        this.choose(null)
      }
    }, 1000 * SECONDS_A_WORD)
  }

  stop() {
    clearInterval(this.timer)
    this.timer = null
    this.find(".looked").ariaLive = "polite"
    this.find(".play").textContent = "Play the walk"
  }

  async copy() {
    const button = this.find(".copy")
    const done = await this.toClipboard(this.data.text)
    button.textContent = done ? "Copied" : "Not allowed here"
    this.announce(done ? "Caption copied" : "The browser does not allow copying here")
    setTimeout(() => (button.textContent = "Copy caption"), 2000)
  }

  async toClipboard(text) {
    try {
      await navigator.clipboard.writeText(text)
      return true
    } catch {
      // No permission in some frames, and no clipboard without https: the old way may still work there.
      const area = element("textarea", "announcement", text)
      this.root.append(area)
      area.select()
      const done = document.execCommand("copy")
      area.remove()
      this.find(".copy").focus()
      return done
    }
  }

  read() {
    const speech = window.speechSynthesis
    if (speech.speaking) return speech.cancel()
    const sentence = new SpeechSynthesisUtterance(this.data.text)
    sentence.lang = "en"
    speech.speak(sentence)
  }

  // Emptied first, so that the same words are announced again.
  announce(text) {
    const place = this.find(".announcement")
    place.textContent = ""
    setTimeout(() => (place.textContent = text), 100)
  }

  paintAll() {
    const { data, strength } = this
    this.root.querySelectorAll(".strip canvas").forEach((canvas, place) => {
      paint(canvas, data.maps[place], data, strength)
    })
    if (this.chosen !== null) paint(this.find(".map"), data.maps[this.chosen], data, strength)
  }

  update() {
    const { chosen, data } = this
    for (const group of [".sentence", ".strip"])
      [...this.find(group).children].forEach((button, place) =>
        button.setAttribute("aria-pressed", String(place === chosen)),
      )
    const map = this.find(".map")
    map.hidden = chosen === null
    if (chosen !== null) paint(map, data.maps[chosen], data, this.strength)
    this.find(".looked").textContent =
      chosen === null
        ? "Choose a word to see where the model looked."
        : `Where the model looked for “${data.words[chosen]}” (probability ${percent(data.logProbs[chosen])})`
    this.explain()
  }

  // The word that the lesson is about: the chosen one, else the first.
  inHood() {
    return this.chosen ?? 0
  }

  explain() {
    const { data } = this
    const place = this.inHood()
    const word = data.words[place]
    // Not `disabled`, which would take the focus from whoever has just pressed it.
    this.find(".previous").ariaDisabled = String(place === 0)
    this.find(".next").ariaDisabled = String(place === data.words.length - 1)
    this.find(".place").textContent = `Word ${place + 1} of ${data.words.length}: “${word}”`

    const before = place ? data.words.slice(0, place).join(" ") : "nothing yet, only the sign that a sentence starts"
    const read = element("li", "", "What came before, and is remembered in the first cell's hidden state: ")
    read.append(element("span", "read-words", before), ...this.remembered(0, place))
    const looked = element("li", "", "Where it looked with that in mind:")
    const thumb = this.thumb()
    paint(thumb.querySelector("canvas"), data.maps[place], data, this.strength)
    looked.append(thumb, element("p", "why", WHY.looked))
    const told = element("li", "", "What it saw there went into the second cell, the one that writes:")
    told.append(...this.remembered(1, place))
    const weighed = element("li", "", "The five likeliest words then:")
    for (const [text, logProb] of data.candidates[place]) {
      weighed.append(bar(text || "(end)", Math.exp(logProb), text === word ? "candidate chosen" : "candidate"))
    }
    weighed.append(element("p", "why", WHY.weighed))
    const kept = element("li", "", `It wrote “${word}”. ${reason(data.candidates[place], word)}`)
    if (place === data.words.length - 1) kept.append(` ${ending(data.candidates[place + 1])}`)
    this.find(".recurrence").replaceChildren(read, looked, told, weighed, kept)
  }

  // One cell's hidden state before and after it read, and what its gates did in between.
  remembered(cell, place) {
    const { hidden, gates, cell: kind } = this.data
    const states = hidden[cell].slice(place, place + 2)
    const change = states[0].reduce((sum, value, k) => sum + Math.abs(states[1][k] - value), 0) / states[0].length / 100
    const told = `${states[0].length} numbers, changed by ${change.toFixed(2)} on average`
    const strip = element("div", "states")
    strip.role = "img"
    strip.ariaLabel = `Hidden state before and after: ${told}`
    states.forEach((numbers, after) => {
      const canvas = document.createElement("canvas")
      paintState(canvas, numbers)
      strip.append(element("span", "", after ? "after" : "before"), canvas)
    })
    const why = (text) => (cell === 0 ? [element("p", "why", text)] : []) // the second cell is of the same kind
    const opened = GATES[kind].flatMap(([name, what, reason, rest], gate) => {
      const share = gates[cell][place][gate] / 100
      const rows = [bar(`${name}: ${what}`, share, "gate")]
      if (rest) rows.push(bar(`${name}: ${rest}`, 1 - share, "gate"))
      return [...rows, ...why(reason)]
    })
    if (!opened.length) opened.push(...why(NO_GATES))
    return [strip, element("p", "note", told), ...why(WHY.hidden), ...opened]
  }

  leave() {
    this.stop()
    window.speechSynthesis?.cancel()
  }
}

// A name with a share, from 0 to 1, of something.
function bar(name, share, className) {
  const row = element("div", `share-of ${className}`)
  const length = element("span", "bar")
  length.style.width = `${100 * share}%`
  row.append(element("span", "", name), length, element("span", "share", percent(Math.log(share))))
  return row
}

function reason(candidates, word) {
  const rank = candidates.findIndex(([text]) => text === word)
  if (rank === 0) return "It was the likeliest."
  return `Another was likelier here, but the search weighs whole sentences, draws at random if it is to be creative, and
    keeps its rules (length, no phrase twice).`
}

// Why nothing came after the last word; the end of a sentence is the word "".
function ending(candidates) {
  const end = candidates.find(([text]) => text === "")
  const share = end ? `a probability of ${percent(end[1])}` : "a small probability only"
  return `Then the sentence ended: the sign for that, which the model writes like a word, had ${share}.`
}

// The page without a server also draws maps into files.
export { paint }

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".viewer")
  root.captioner ??= new Viewer(root)
  root.captioner.show(data)
  return () => root.captioner.leave()
}
