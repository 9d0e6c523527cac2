// Ways to use a caption: alternative text to paste, and files. Nothing in them comes from the photograph's metadata.

import { paint } from "../viewer/viewer.js"
import { save } from "./elements.js"
import { drawFigure, drawMap, drawWalk } from "./pictures.js"
import { altHtml, altMarkdown, captionJson } from "./texts.js"

const COPIED = 2000 // milliseconds that a button says so

// Returns what is called with a photograph, its caption and the best one whenever another is shown.
export function startDownloads(site, root) {
  const place = document.querySelector("#use")
  const done = place.querySelector(".done")
  const fields = { html: place.querySelector("#alt-html"), markdown: place.querySelector("#alt-markdown") }
  let now // what is shown

  place.querySelectorAll("[data-copies]").forEach((button) => {
    const label = button.textContent
    button.onclick = async () => {
      button.textContent = (await copy(place.querySelector(`#${button.dataset.copies}`))) ? "Copied" : "Not allowed here"
      setTimeout(() => (button.textContent = label), COPIED)
    }
  })
  const actions = {
    text: () => saveAs(".txt", `${now.caption.text}\n`, "text/plain"),
    json: () => saveAs(".json", captionJson(now.look.name, now.caption, now.best), "application/json"),
    map: () => {
      const { chosen, strength } = root.querySelector(".viewer").captioner
      if (chosen === null) return (done.textContent = "Choose a word first: its map goes into the picture.")
      return drawMap(now.picture, now.caption, chosen, strength).then((file) => saveAs(`-${chosen + 1}.png`, file))
    },
    figure: () => drawFigure(now.picture, now.caption).then((file) => saveAs("-attention.png", file)),
    walk: () => drawWalk(now.picture, now.caption).then((file) => saveAs("-attention.gif", file)),
  }
  for (const [name, action] of Object.entries(actions))
    place.querySelector(`.${name}`).onclick = async () => {
      done.textContent = ""
      try {
        await action()
      } catch (error) {
        console.warn(error)
        done.textContent = "This file cannot be made here. Please try another one."
      }
    }

  const saveAs = (ending, content, type) => save(`${now.stem}${ending}`, content, type)

  return (look, caption, best) => {
    const stem = look.name.replace(/(?<=.)\.[^.]*$/, "") || "photograph"
    const picture = { photo: look.seen.photo, palette: site.palette, paint }
    now = { look, caption, best, stem, picture }
    done.textContent = ""
    fields.html.value = altHtml(look.name, caption.text)
    fields.markdown.value = altMarkdown(look.name, caption.text)
  }
}

async function copy(field) {
  try {
    await navigator.clipboard.writeText(field.value)
    return true
  } catch {
    field.select() // no clipboard without https: the old way may still work there
    return document.execCommand("copy")
  }
}
