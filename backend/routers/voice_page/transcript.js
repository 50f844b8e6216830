/** The conversation as text. Whatever comes from the server is put in as text, never as HTML. */

export class Transcript {
  /** @param {HTMLOListElement} list */
  constructor(list) {
    this.list = list;
    this.partial = null;
    this.answers = new Map(); // turn → its entry
  }

  /** What is understood so far of what the person says. */
  understood(text) {
    this.partial ??= this.entry("person partial", "You");
    this.partial.words.textContent = text;
  }

  /** What the person has said, or typed. */
  said(text) {
    this.understood(text);
    this.partial.item.classList.remove("partial");
    this.partial = null;
  }

  /** It was nothing: a cough, or somebody who only showed that they listen. */
  nothingSaid() {
    this.partial?.item.remove();
    this.partial = null;
  }

  written(turn, text) {
    this.answer(turn).words.append(text);
    this.scroll();
  }

  /** The answer is over: `heard` is all that counts of it, and the rest is shown as what nobody heard. */
  completed(turn, heard, interrupted) {
    const { words } = this.answer(turn);
    const written = words.textContent;
    words.textContent = heard;
    const rest = written.startsWith(heard) ? written.slice(heard.length) : "";
    if (interrupted && rest.trim() !== "") {
      const unheard = make("s", "unheard", rest);
      unheard.prepend(make("span", "hidden", " (not heard:) "));
      words.append(unheard);
    }
    this.scroll();
  }

  /** A line beside an answer. */
  beside(turn, text, kind = "beside") {
    this.answer(turn).item.append(make("p", kind, text));
    this.scroll();
  }

  /** Something that the person should know; this is read out. */
  note(text, bad) {
    const item = make("li", bad ? "note bad" : "note");
    const words = make("p", "words", text);
    words.setAttribute("role", bad ? "alert" : "status");
    item.append(words);
    this.list.append(item);
    this.scroll();
  }

  has(note) {
    return [...this.list.querySelectorAll(".note")].some((item) => item.textContent === note);
  }

  /** The next conversation counts its turns from 1 again. */
  restart() {
    this.nothingSaid();
    this.answers.clear();
  }

  answer(turn) {
    if (!this.answers.has(turn)) this.answers.set(turn, this.entry("agent", "Agent"));
    return this.answers.get(turn);
  }

  entry(kind, who) {
    const item = make("li", kind);
    const words = make("p", "words");
    item.append(make("span", "hidden", `${who}: `), words);
    this.list.append(item);
    this.scroll();
    return { item, words };
  }

  scroll() {
    // Who reads further up is not torn away from it.
    const page = document.scrollingElement;
    if (page.scrollHeight - page.scrollTop - page.clientHeight < 300) page.scrollTop = page.scrollHeight;
  }
}

export function make(tag, kind, text = "") {
  const element = document.createElement(tag);
  element.className = kind;
  element.textContent = text;
  return element;
}
