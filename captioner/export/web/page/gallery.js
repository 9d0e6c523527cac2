// Several photographs: their captions side by side, one file for all of them, and one of them closer.

import { element, save } from "./elements.js"
import { tellWorking } from "./faults.js"
import { isUnsure, row, rowsFile } from "./texts.js"

const gallery = () => document.querySelector("#gallery")

export function hideGallery() {
  gallery().hidden = true
}

// Caption all photographs as the settings say and show them, as long as they are wanted.
export async function showGallery(site, looks, result, wanted) {
  const captions = []
  for (const [place, look] of looks.entries()) {
    tellWorking("Writing the caption", place, looks.length)
    captions.push(await result.write(look))
    if (!wanted()) return
  }
  tellWorking()
  const place = gallery()
  place.querySelector("h2").textContent = `${looks.length} photographs`
  const rows = looks.map((look, index) => row(look.name, captions[index]))
  place.querySelector(".csv").onclick = () => save("captions.csv", rowsFile(rows, "csv"), "text/csv")
  place.querySelector(".jsonl").onclick = () => save("captions.jsonl", rowsFile(rows, "jsonl"), "application/jsonl")
  const tiles = looks.map((look, index) => tile(site, look, captions[index], index))
  tiles.forEach((made, index) => {
    made.querySelector("button").onclick = async () => {
      mark(tiles, index)
      await result.show(looks[index])
      result.focus()
    }
  })
  place.querySelector(".tiles").replaceChildren(...tiles)
  mark(tiles, Math.max(0, looks.findIndex(result.shows)))
  place.hidden = false
}

function tile(site, look, caption, place) {
  const made = element("li")
  look.address ??= URL.createObjectURL(look.seen.photo)
  const picture = element("img", "", "", { src: look.address, alt: caption.text })
  const text = isUnsure(caption, site.unsure) ? `${caption.text} (unsure)` : caption.text
  made.append(picture, element("span", "", text), element("button", "", `${place + 1}: look closer`, { type: "button" }))
  return made
}

function mark(tiles, chosen) {
  tiles.forEach((tile, place) => {
    const button = tile.querySelector("button")
    button.textContent = place === chosen ? `${place + 1}: shown below` : `${place + 1}: look closer`
    button.setAttribute("aria-current", String(place === chosen))
  })
}
