// What a visitor sees while the model works, and when something goes wrong.

import { UserError } from "../core/errors.js"
import { element } from "./elements.js"

// An error as a sentence. Those of the captioner are sentences already; others are for the console.
export function explain(error) {
  if (error instanceof UserError || error?.constructor === Error) return error.message
  if (error instanceof RangeError) return "This device has run out of memory. Please close other pages, and load this one anew."
  console.warn(error)
  return "Something went wrong here. Please try again, perhaps with another photograph."
}

export function showProblems(problems) {
  const place = document.querySelector("#problems")
  place.replaceChildren(...problems.map((text) => element("p", "problem", text)))
}

// Tell what the model is doing, of several photographs with which one, counted from 0; without words, that it is done.
export function tellWorking(text = "", place = 0, count = 1) {
  const working = document.querySelector("#working")
  working.hidden = !text
  working.querySelector("p").textContent = count > 1 ? `${text} ${place + 1} of ${count} …` : `${text} …`
  const progress = working.querySelector("progress")
  if (count > 1) progress.value = place / count
  else progress.removeAttribute("value")
}
