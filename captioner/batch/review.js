// Filters, and judging captions. This browser keeps what was judged, and saves it as a file of JSON lines.

const find = (selector, within = document) => within.querySelector(selector)
const body = document.body
const storage = `captioner review ${body.dataset.review}`

// Each photograph's box, what is searched in it, and what is said of it.
const boxes = [...document.querySelectorAll("article")].map((article) => {
  const file = JSON.parse(article.dataset.file)
  const caption = find(".caption", article).textContent
  const others = [...article.querySelectorAll(".others q")].map((other) => other.textContent)
  return { article, file, caption, text: [file, caption, ...others].join("\n").toLowerCase(), verdict: "", better: "" }
})
const failures = [...document.querySelectorAll("#errors li")]

// What was judged before, unless the caption has changed since.
function recall() {
  let kept = {}
  try {
    kept = JSON.parse(localStorage.getItem(storage)) ?? {}
  } catch {
    // Forbidden here, or spoiled: one begins anew.
  }
  for (const box of boxes) {
    const known = Object.hasOwn(kept, box.file) && kept[box.file]
    if (known && known.caption === box.caption) Object.assign(box, { verdict: known.verdict, better: known.better })
  }
}

const judged = () => boxes.filter((box) => box.verdict || box.better)

function keep() {
  const kept = judged().map(({ file, caption, verdict, better }) => [file, { caption, verdict, better }])
  try {
    localStorage.setItem(storage, JSON.stringify(Object.fromEntries(kept)))
  } catch {
    // Forbidden here, or full: they can be saved as a file all the same.
  }
  tellJudged()
}

function tellJudged() {
  const count = judged().length
  find("#save").textContent = `Save ${count} ${count === 1 ? "judgement" : "judgements"}`
  find("#save").disabled = count === 0
}

function show(box) {
  for (const verdict of ["good", "bad"])
    find(`.${verdict}`, box.article).setAttribute("aria-pressed", String(box.verdict === verdict))
  find(".better", box.article).value = box.better
}

function judge(box, verdict) {
  box.verdict = box.verdict === verdict ? "" : verdict
  show(box)
  keep()
}

// Whoever writes a better caption need not say that the other was bad.
function improve(box, better) {
  box.better = better.trim()
  if (box.better && !box.verdict) box.verdict = "bad"
  show(box)
  keep()
}

function equip(box) {
  const { article } = box
  article.append(find("template").content.cloneNode(true))
  for (const verdict of ["good", "bad"])
    find(`.${verdict}`, article).addEventListener("click", () => judge(box, verdict))
  find(".better", article).addEventListener("change", (event) => improve(box, event.target.value))
  for (const other of article.querySelectorAll(".others li")) {
    const button = document.createElement("button")
    const text = find("q", other).textContent
    button.type = "button"
    button.textContent = "Use"
    button.ariaLabel = `Use: ${text}`
    button.addEventListener("click", () => improve(box, text))
    other.append(" ", button)
  }
  article.addEventListener("keydown", (event) => press(box, event))
  show(box)
}

// Keys work inside a box only, so that they are in nobody's way elsewhere.
function press(box, event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input")) return
  const key = event.key.toLowerCase()
  if (key === "j") step(box, 1)
  else if (key === "k") step(box, -1)
  else if (key === "g") judge(box, "good")
  else if (key === "b") judge(box, "bad")
  else if (key === "e") find(".better", box.article).focus()
  else return
  event.preventDefault()
}

function step(box, way) {
  let place = boxes.indexOf(box) + way
  while (boxes[place]?.article.hidden) place += way
  boxes[place]?.article.focus()
}

const FITS = {
  all: () => true,
  unsure: (box) => box.article.classList.contains("unsure"),
  errors: () => false,
  open: (box) => !box.verdict && !box.better,
  good: (box) => box.verdict === "good",
  bad: (box) => box.verdict === "bad",
}

function filter() {
  const words = find("#text").value.toLowerCase().split(/\s+/).filter(Boolean)
  const which = find("#which").value
  const said = (text) => words.every((word) => text.includes(word))
  let shown = 0
  for (const box of boxes) {
    const fits = FITS[which](box) && said(box.text)
    box.article.hidden = !fits
    shown += fits
  }
  let failed = 0
  for (const failure of failures) {
    failure.hidden = !["all", "errors"].includes(which) || !said(failure.textContent.toLowerCase())
    failed += !failure.hidden
  }
  find("#photographs").hidden = shown === 0
  find("#errors").hidden = failed === 0
  find("#shown").textContent = `${shown + failed} of ${boxes.length + failures.length} shown`
}

function save() {
  const lines = judged().map(({ file, caption, verdict, better }) =>
    JSON.stringify({ file, caption, verdict, ...(better && { better }) }),
  )
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "application/jsonl" }))
  link.download = `${body.dataset.name}.judged.jsonl`
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

recall()
boxes.forEach(equip)
tellJudged()
find("#text").addEventListener("input", filter)
find("#which").addEventListener("change", filter)
find("#save").addEventListener("click", save)
find("form").addEventListener("submit", (event) => event.preventDefault())
find("form").hidden = false
filter() // a browser that comes back to the page remembers what the fields said
