/** English words that say nothing about what a text is about. They are neither indexed nor searched. */

const LIST = `
a about am an and are as at be been being but by can could did do does doing for from had has have
having he her hers him his how i if in into is it its itself just me my no nor not of off on or our
ours own she should so some such than that the their theirs them then there these they this those to
too us very was we were what when where which while who whom why will with would you your yours
didn doesn don isn wasn weren won wouldn couldn shouldn hasn haven hadn aren ll ve re`;

export const STOP_WORDS: ReadonlySet<string> = new Set(LIST.trim().split(/\s+/));
