// The page: give it a photograph, read its caption, choose a word and see where the model looked. All of it happens in
// this browser. This is its table of contents; each part has a file in `page/`.

import { tellAbout } from "./page/about.js"
import { explain, tellWorking, showProblems } from "./page/faults.js"
import { showGallery, hideGallery } from "./page/gallery.js"
import { startGiving } from "./page/give.js"
import { keepOffline, sharedPhotographs } from "./page/keep.js"
import { startLoading } from "./page/load.js"
import { startResult } from "./page/result.js"

const site = await (await fetch("site.json")).json()
let shown = [] // photographs whose memory the browser may have back once there are others
let latest = 0 // what was given last takes the place of what is still being worked at
let settled = 0 // and so do the settings that were chosen last

tellAbout(site)
const prepared = prepare()
startGiving(site, take)
await prepared
take(await sharedPhotographs())
document.documentElement.dataset.ready = "" // for whoever drives this page with a program

// What is needed before anything can be captioned; photographs may be given before it is there.
async function prepare() {
  await keepOffline() // first, so that the model is kept
  const loading = await startLoading()
  return { loading, result: await startResult(site, loading, settle) }
}

// Write the captions of the gallery anew.
async function settle() {
  if (shown.length < 2) return
  const { result } = await prepared
  const [turn, setting] = [latest, ++settled]
  const wanted = () => turn === latest && setting === settled
  try {
    await showGallery(site, shown, result, wanted)
  } catch (error) {
    showProblems([explain(error)])
  } finally {
    if (wanted()) tellWorking()
  }
}

// Look at photographs, caption them, and show them; what was there stays if none of them can be read.
async function take(given) {
  if (!given.length) return
  const turn = ++latest
  const problems = []
  if (given.length > site.most)
    problems.push(
      `These are ${given.length} photographs; the page takes ${site.most} at once, so the first ${site.most} are here. ` +
        "For whole folders there is the command `python -m captioner`.",
    )
  showProblems(problems)
  const { loading, result } = await prepared
  const captioner = await loading.model(given.length)
  if (turn !== latest) return
  const looks = []
  const photographs = given.slice(0, site.most)
  for (const [place, photograph] of photographs.entries()) {
    tellWorking("Looking at the photograph", place, photographs.length)
    try {
      looks.push({ name: photograph.name, seen: await captioner.look(photograph) })
    } catch (error) {
      problems.push(explain(error))
    }
    if (turn !== latest) return
  }
  tellWorking()
  showProblems(problems)
  if (!looks.length) return
  try {
    if (looks.length === 1) hideGallery()
    else await showGallery(site, looks, result, () => turn === latest)
    if (turn !== latest) return
    await result.show(looks[0])
    shown.forEach((look) => URL.revokeObjectURL(look.address))
    shown = looks
  } catch (error) {
    showProblems([...problems, explain(error)])
  } finally {
    if (turn === latest) tellWorking()
  }
}
