// What the model is, what it is bad at, and what this browser keeps.

import { element } from "./elements.js"

export function tellAbout(site) {
  const about = document.querySelector("#about")
  about.querySelector(".paragraphs").append(...site.about.paragraphs.map((text) => element("p", "", text)))
  about.querySelector(".weak").textContent = site.about.weak
  about.querySelector(".weaknesses").textContent = site.about.weaknesses
  if (site.about.card) {
    const link = element("a", "", "Read the model card", { href: site.about.card })
    about.append(link)
  }
  document.querySelector(".most").textContent = site.most
}
