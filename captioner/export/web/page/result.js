// One photograph's result: the caption and where the model looked, other captions, settings, and ways to use it.

import showViewer from "../viewer/viewer.js"
import { startDownloads } from "./downloads.js"
import { element } from "./elements.js"
import { explain, showProblems, tellWorking } from "./faults.js"
import { startSettings } from "./settings.js"
import { isUnsure, percent, wordMean } from "./texts.js"

// The viewer in a shadow root of its own, as Streamlit keeps it too, so that its style and the page's do not meet.
async function mountViewer() {
  const root = document.querySelector("#viewer").attachShadow({ mode: "open" })
  const markup = await (await fetch("viewer/viewer.html")).text()
  root.innerHTML = `<link rel="stylesheet" href="viewer/viewer.css">${markup}`
  return root
}

// `changed` is called when settings have changed, and the photograph that is shown has its new caption.
export async function startResult(site, loading, changed) {
  const section = document.querySelector("#result")
  const root = await mountViewer()
  const offer = startDownloads(site, root)
  const settings = startSettings(site.defaults, async () => {
    await refresh()
    changed()
  })
  let shown // the photograph that is shown
  let stale = false // whether something has changed while the model was writing
  let writing = null // a promise, while it does

  // Caption a photograph, once for each set of settings; the expensive part is done already.
  async function write(look) {
    look.captions ??= new Map()
    const all = { ...site.defaults, ...settings() }
    const key = JSON.stringify(Object.entries(all).sort())
    if (!look.captions.has(key)) {
      const captioner = await loading.model(1)
      look.captions.set(key, await captioner.write(look.seen, all))
    }
    return look.captions.get(key)
  }

  // Write and show what is wanted now; what is being written for what was wanted before is not shown.
  function refresh() {
    stale = true
    if (shown) writing ??= rewrite()
    return writing
  }

  async function rewrite() {
    section.ariaBusy = "true"
    tellWorking("Writing the caption")
    try {
      while (stale) {
        stale = false
        const look = shown
        const best = await write(look)
        if (!stale) draw(look, best)
      }
    } catch (error) {
      showProblems([explain(error)])
    } finally {
      writing = null
      section.ariaBusy = "false"
      tellWorking()
    }
  }

  function draw(look, best) {
    const captions = [best, ...best.alternatives]
    const choices = section.querySelector("#captions")
    choices.hidden = captions.length === 1
    choices.querySelector(".choices").replaceChildren(
      ...captions.map((caption, place) => choice(caption, place === 0, () => display(look, caption, best))),
    )
    display(look, best, best)
  }

  function display(look, caption, best) {
    look.address ??= URL.createObjectURL(look.seen.photo)
    const { width, height } = look.seen
    section.querySelector(".unsure").hidden = !isUnsure(caption, site.unsure)
    section.hidden = false
    const data = { ...caption, key: look.address, photo: look.address, width, height, palette: site.palette }
    showViewer({ data, parentElement: root })
    offer(look, caption, best)
  }

  return {
    write,
    shows: (look) => look === shown,
    async show(look) {
      shown = look
      await refresh()
      const examples = document.querySelector("#giving details")
      // They make room; the focus must not be left on what is no longer there.
      if (examples.contains(document.activeElement)) section.focus({ preventScroll: true })
      examples.open = false
    },
    // Go to what is shown, as who reads with keys or a screen reader wants to as well.
    focus() {
      section.focus({ preventScroll: true })
      section.scrollIntoView({ block: "start" })
    },
  }
}

function choice(caption, checked, choose) {
  const label = element("label")
  const radio = element("input", "", "", { type: "radio", name: "caption", "aria-describedby": "captions-help" })
  radio.checked = checked
  radio.onchange = choose
  const text = element("span", "", caption.text)
  text.append(element("small", "", `probability ${percent(caption.logProb)}, ${percent(wordMean(caption))} a word`))
  label.append(radio, text)
  return label
}
