// Where photographs come from: dropped, pasted or chosen files, the camera, or an example.

import { element } from "./elements.js"
import { showProblems } from "./faults.js"

export function startGiving(site, take) {
  const giving = document.querySelector("#giving")
  giving.querySelectorAll("input[type=file]").forEach((input) => {
    input.onchange = () => {
      take([...input.files])
      input.value = "" // else the same file could not be chosen again
    }
  })
  startDropping(take)
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])]
    if (!files.length) return // text, for a field
    event.preventDefault()
    take(files)
  })
  startCamera(giving, take)
  giving.querySelector("#examples").append(...site.examples.map((example) => exampleTile(example, take)))
  giving.querySelector(".credits").append(...site.examples.flatMap(credit))
}

function startDropping(take) {
  const sign = document.querySelector("#dropping")
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files")
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return
    event.preventDefault() // says that it may be dropped here
    sign.hidden = false
  })
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) sign.hidden = true
  })
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    sign.hidden = true
    take([...event.dataTransfer.files])
  })
}

// On a phone its own camera program; elsewhere a view of the camera here.
function startCamera(giving, take) {
  const button = giving.querySelector(".camera")
  const panel = giving.querySelector("#camera")
  const video = panel.querySelector("video")
  const stop = () => {
    video.srcObject?.getTracks().forEach((track) => track.stop())
    video.srcObject = null
    panel.hidden = true
    button.ariaExpanded = "false"
  }
  button.onclick = async () => {
    if (!panel.hidden) return stop()
    if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices)
      return giving.querySelector(".shot").click()
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } })
    } catch {
      return showProblems([
        "The camera cannot be used: there is none, or the browser does not allow it here. Please choose a file instead.",
      ])
    }
    panel.hidden = false
    button.ariaExpanded = "true"
    await video.play()
  }
  panel.querySelector(".take").onclick = () => {
    const canvas = element("canvas")
    canvas.width = video.videoWidth
    canvas.height = video.videoHeight
    canvas.getContext("2d").drawImage(video, 0, 0)
    stop()
    canvas.toBlob((blob) => take([new File([blob], "photograph.jpg", { type: blob.type })]), "image/jpeg", 0.95)
  }
}

// Whose an example is: "Desk: Flickr, CC BY 2.0".
function credit({ label, author, licence, address }, place) {
  const name = label.toLowerCase() // the link's text, since most have the same author
  const linked = address ? element("a", "", name, { href: address, rel: "noreferrer" }) : name
  return [place ? "; " : " ", linked, ` (${author}, ${licence})`]
}

function exampleTile(example, take) {
  const tile = element("li")
  const button = element("button", "", "", { type: "button", title: `Photograph: ${example.author}, ${example.licence}` })
  const picture = element("img", "", "", { src: example.file, alt: "", loading: "lazy" })
  button.append(picture, element("span", "", example.label))
  button.onclick = async () => {
    const blob = await (await fetch(example.file)).blob()
    take([new File([blob], example.file.split("/").pop(), { type: blob.type })])
  }
  tile.append(button)
  if (example.wrong) tile.append(element("small", "", "it gets this wrong"))
  return tile
}
