// An error whose message is a whole sentence, fit to be shown as it stands.
export class UserError extends Error {}

// Any error as such a sentence; what nobody foresaw keeps its own words, for whoever is told of it.
export function explain(error) {
  if (error instanceof UserError) return error.message
  const text = String(error?.message ?? error) // the runtime throws numbers, too
  if (error instanceof RangeError || /out of memory|bad_alloc|allocation failed|failed to allocate/i.test(text))
    return "There is too little free memory on this device. Please close other pages and programs, and load this page anew."
  return `Something went wrong that should not: ${text}. Please load the page anew.`
}
