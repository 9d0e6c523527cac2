// How a caption is searched for: SearchConfig of captioner/config.py, with the same names (in camelCase), meanings,
// defaults and limits.

import { UserError } from "./errors.js"

const DEFAULTS = {
  method: "beam",
  beamSize: 8,
  lengthPenalty: 0.7,
  minimumLength: 3,
  maximumLength: 30,
  blockNgram: 2,
  temperature: 1,
  topP: 0.9,
  seed: 0,
  alternatives: 4,
  rerank: 0.3,
  match: 4,
}
const METHODS = ["greedy", "beam", "sample"]
const WHOLE = {
  beamSize: [1, 50],
  minimumLength: [1, 200],
  maximumLength: [1, 200],
  blockNgram: [0, 20],
  alternatives: [0, 50],
  seed: [0, Number.MAX_SAFE_INTEGER],
}
const REAL = { lengthPenalty: [0, 5], rerank: [0, 5], match: [0, 20], temperature: [0.01, 10], topP: [0.001, 1] }

// Settings, completed by the defaults; throws an Error that says what is wrong with them.
export function complete(settings = {}) {
  for (const name of Object.keys(settings))
    if (!(name in DEFAULTS)) throw new UserError(`Unknown setting ${name}. The search knows ${Object.keys(DEFAULTS).join(", ")}.`)
  const all = { ...DEFAULTS, ...settings }
  if (!METHODS.includes(all.method)) throw new UserError(`Unknown method ${all.method}. Choose from ${METHODS.join(", ")}.`)
  for (const [name, limits] of Object.entries(WHOLE)) checkRange(all, name, limits, Number.isInteger, "a whole number")
  for (const [name, limits] of Object.entries(REAL)) checkRange(all, name, limits, Number.isFinite, "a number")
  checkRange(all, "minimumLength", [1, all.maximumLength], Number.isInteger, "a whole number")
  return all
}

function checkRange(settings, name, [low, high], isRight, kind) {
  const value = settings[name]
  if (!isRight(value) || value < low || value > high)
    throw new UserError(`${name} must be ${kind} from ${low} to ${high}, not ${value}.`)
}
