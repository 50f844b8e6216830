/** The page: what a person does becomes frames, what the agent does becomes sound and text. */

import { addressOf, Conversation } from "./conversation.js";
import { Microphone } from "./microphone.js";
import { Player } from "./player.js";
import { Transcript } from "./transcript.js";
import { Turns } from "./turns.js";

const RATE = 16000;
const KEY = "numen-voice-key";
/** A microphone is heard a little late: who lets go of the button has the end of the last word still to come. */
const LAST_WORD_MS = 150;
/** What was understood so far, and went no further for so long, was nothing. */
const NOTHING_MS = 4000;
const STATES = {
  connecting: "Connecting …",
  hearing: "Hears you",
  thinking: "Thinking …",
  speaking: "Speaking",
  interrupted: "Interrupted",
};

const ids = ["connect", "key", "keep", "begin", "name", "state", "state-text", "talk", "controls", "push", "mute", "interrupt", "end", "level", "typing", "message"];
const on = Object.fromEntries(ids.map((id) => [id, document.getElementById(id)]));
const transcript = new Transcript(on.talk);
let call = null;
let threadId = null;

/** A call from the click that begins it to its end. */
class Call {
  constructor() {
    this.context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    this.microphone = null;
    this.player = null;
    this.turns = null;
    this.pushToTalk = false;
    this.held = false;
    this.stopping = undefined;
    this.doubting = undefined;
  }

  async begin(key) {
    show("connecting");
    this.player = await Player.open(this.context, (played) => this.played(played));
    await this.context.resume();
    this.conversation = new Conversation(addressOf(location, threadId), key, {
      event: (event) => (HANDLERS[event.type] ?? ignore)(this, event),
      audio: (pcm) => this.player.add(pcm),
      ended: (reason, ok) => this.ended(reason, ok),
    });
  }

  async ready(event) {
    this.pushToTalk = event.push_to_talk;
    on.name.textContent = event.name;
    document.title = `${event.name} – voice`;
    for (const { note } of [event.speaks, event.listens]) if (note && !transcript.has(note)) transcript.note(note, false);
    on.connect.hidden = true;
    on.controls.hidden = false;
    this.turns = new Turns((state) => this.show(state));
    if (event.listens.provider === null) on.message.focus();
    else await this.listen();
  }

  async listen() {
    try {
      const microphone = await Microphone.open(this.context, (pcm) => this.hear(pcm));
      if (call !== this) return microphone.close(); // it ended while the person was asked
      this.microphone = microphone;
      on.push.hidden = !this.pushToTalk;
      on.mute.hidden = this.pushToTalk;
      on.level.hidden = false;
      this.show(this.turns.state);
    } catch (error) {
      transcript.note(`${error.message} Until then you can type.`, true);
      on.message.focus();
    }
  }

  hear(pcm) {
    on.level.value = loudness(pcm);
    if (!this.pushToTalk || this.held) this.conversation.hear(pcm);
  }

  push() {
    if (this.microphone === null || !this.pushToTalk) return;
    clearTimeout(this.stopping);
    this.interrupt();
    this.held = true;
    on.push.classList.add("held");
    this.turns.hears();
  }

  release() {
    if (!this.held) return;
    on.push.classList.remove("held");
    clearTimeout(this.stopping);
    this.stopping = setTimeout(() => {
      this.held = false;
      this.conversation.tell({ type: "stop" });
      this.turns.change("listening");
    }, LAST_WORD_MS);
  }

  understood(text) {
    transcript.understood(text);
    this.turns.hears();
    clearTimeout(this.doubting);
    this.doubting = setTimeout(() => {
      transcript.nothingSaid();
      this.turns.hearsNothing();
    }, NOTHING_MS);
  }

  said(text) {
    clearTimeout(this.doubting);
    transcript.said(text);
    this.turns.ask();
  }

  interrupt() {
    if (this.turns?.answering) this.conversation.tell({ type: "interrupt" });
  }

  type(message) {
    this.conversation.tell({ type: "text", message });
    transcript.nothingSaid();
    this.said(message);
  }

  played({ turn, ms, dry }) {
    if (turn > 0) this.conversation.tell({ type: "played", turn, ms });
    this.turns?.played(dry);
  }

  show(state) {
    const listening = this.pushToTalk ? "Hold the button to talk" : "Listening";
    show(state, STATES[state] ?? (this.microphone === null ? "Your turn" : listening));
    on.interrupt.disabled = !this.turns?.answering;
  }

  end() {
    this.conversation.end();
  }

  ended(reason, ok) {
    if (call === this) call = null;
    clearTimeout(this.stopping);
    clearTimeout(this.doubting);
    this.microphone?.close();
    this.player?.close();
    this.context.close();
    on.controls.hidden = true;
    on.level.hidden = on.push.hidden = on.mute.hidden = true;
    mute(false);
    on.connect.hidden = false;
    on.begin.disabled = false;
    on.begin.textContent = threadId === null ? "Connect" : "Go on";
    transcript.restart();
    if (reason) transcript.note(reason, !ok);
    show(ok ? "idle" : "ended", "Ended");
    on.begin.scrollIntoView({ block: "end" });
  }
}

const HANDLERS = {
  "ready": (call, event) => call.ready(event),
  "transcript.partial": (call, { text }) => call.understood(text),
  "transcript.final": (call, { text }) => call.said(text),
  "run.started": (call, { turn, data }) => {
    threadId = data.thread_id;
    call.turns.begin(turn);
  },
  "message.delta": (_, { turn, data }) => transcript.written(turn, data.text),
  "message.completed": (_, { turn, data }) => transcript.completed(turn, data.response, data.metadata.voice?.interrupted),
  "tool.call": (_, { turn, data }) => transcript.beside(turn, `Uses ${data.tool} …`),
  "run.waiting": (_, { turn }) => transcript.beside(turn, "Waits until somebody approves what it wants to do."),
  "run.failed": (_, { turn, data }) => transcript.beside(turn, `${data.title}: ${data.detail}`),
  "audio.start": (call, { turn, from_ms: fromMs }) => {
    transcript.nothingSaid(); // what sounded like words was none: the agent speaks on
    call.player.start(turn, fromMs);
    call.turns.speak();
  },
  "interrupt": (call, { turn }) => {
    call.player.drop(turn);
    call.turns.interrupt();
  },
  "turn.metrics": (call, event) => {
    transcript.beside(event.turn, numbers(event), "numbers");
    call.turns.end(event.turn);
  },
  "error": (call, { turn, title, detail }) => {
    transcript.note(`${title}: ${detail}`, true);
    if ((turn ?? 0) > (call.turns?.latest ?? 0)) call.turns.end(turn); // it could not even begin
  },
};

function ignore() {}

function show(state, text = STATES[state]) {
  on.state.dataset.state = state;
  on["state-text"].textContent = text;
}

function numbers(event) {
  const stages = { "heard after": event.stt_ms, "first word": event.llm_first_token_ms, "voice": event.tts_first_byte_ms, "answered after": event.voice_to_voice_ms };
  const told = Object.entries(stages).filter(([, ms]) => ms !== null).map(([stage, ms]) => `${stage} ${ms} ms`);
  told.push(`${(event.played_ms / 1000).toFixed(1)} s played`);
  return told.join(" · ");
}

function loudness(pcm) {
  return new Int16Array(pcm).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0) / 32768;
}

function mute(muted) {
  if (call?.microphone) call.microphone.muted = muted;
  on.mute.setAttribute("aria-pressed", String(muted));
}

async function connect() {
  on.begin.disabled = true;
  if (on.keep.checked) sessionStorage.setItem(KEY, on.key.value);
  else sessionStorage.removeItem(KEY);
  call = new Call();
  try {
    await call.begin(on.key.value.trim());
  } catch (error) {
    call.ended(`This browser cannot play what the agent says: ${error.message}`, false);
  }
}

on.connect.addEventListener("submit", (event) => {
  event.preventDefault();
  connect();
});
on.typing.addEventListener("submit", (event) => {
  event.preventDefault();
  if (call === null || on.message.value.trim() === "") return;
  call.type(on.message.value);
  on.message.value = "";
});
on.end.addEventListener("click", () => call?.end());
on.interrupt.addEventListener("click", () => call?.interrupt());
on.mute.addEventListener("click", () => mute(on.mute.getAttribute("aria-pressed") === "false"));
on.push.addEventListener("pointerdown", (event) => {
  on.push.setPointerCapture(event.pointerId); // a finger that slides off still holds
  call?.push();
});
for (const kind of ["pointerup", "pointercancel"]) on.push.addEventListener(kind, () => call?.release());
on.push.addEventListener("contextmenu", (event) => event.preventDefault()); // so phones understand a long touch
document.addEventListener("keydown", (event) => {
  if (event.code === "Escape") call?.interrupt();
  if (event.code !== "Space" || ![document.body, on.push].includes(event.target)) return;
  event.preventDefault(); // else the page scrolls
  if (!event.repeat) call?.push();
});
document.addEventListener("keyup", (event) => {
  if (event.code === "Space") call?.release();
});
window.addEventListener("blur", () => call?.release());
// A phone call or a closed lid suspends sound, and only a person's touch may bring it back.
document.addEventListener("pointerdown", () => call?.context.resume());

on.key.value = sessionStorage.getItem(KEY) ?? "";
on.keep.checked = on.key.value !== "";
if (!window.isSecureContext) {
  on.begin.disabled = true;
  transcript.note("Browsers let a page hear and speak only over https, or on this very machine: open it as https://… or http://localhost.", true);
}
