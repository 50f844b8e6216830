/** One conversation over its WebSocket: frames in and out. How it looks and sounds is the others' business. */

const PROTOCOL = "numen.voice.v1";
/** More unsent audio than this (2 s) is too old to be worth sending. */
const MOST_WAITING = 64_000;
const ENDED = {
  1000: "You ended the conversation.",
  1001: "The server is stopping. Connect again in a moment.",
  1006: "The connection was lost, or never came about.",
  1008: "The server did not let you go on.",
  1011: "Something went wrong in the server.",
  1013: "Too many conversations go on already. Try again later.",
};

/**
 * Where to talk with this page's agent. The page's own address may name a `session_id` or a `thread_id`.
 * @param {Location} place
 * @param {string | null} threadId the thread to go on with
 */
export function addressOf(place, threadId) {
  const agentId = place.pathname.split("/").filter(Boolean).at(-1);
  const address = new URL(`/api/v1/agents/${agentId}/voice`, place.href);
  address.protocol = place.protocol === "https:" ? "wss:" : "ws:";
  const asked = new URLSearchParams(place.search);
  const sessionId = asked.get("session_id"); // a session has a thread of its own
  const [name, value] = sessionId ? ["session_id", sessionId] : ["thread_id", threadId ?? asked.get("thread_id")];
  if (value) address.searchParams.set(name, value);
  return address;
}

export class Conversation {
  /**
   * @param {URL} address
   * @param {string} key an API key, or nothing
   * @param {{event: (event: object) => void, audio: (pcm: ArrayBuffer) => void, ended: (reason: string, ok: boolean) => void}} on `reason` is empty where an error has said it
   */
  constructor(address, key, on) {
    this.on = on;
    this.failed = false;
    this.socket = new WebSocket(address, PROTOCOL);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.tell(key ? { type: "start", token: key } : { type: "start" });
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = ({ code }) => this.close(code);
  }

  receive(data) {
    if (data instanceof ArrayBuffer) {
      this.on.audio(data);
      return;
    }
    const event = JSON.parse(data);
    this.failed = event.type === "error";
    this.on.event(event);
  }

  close(code) {
    // An error right before the end has said why, better than a number does.
    const told = this.failed && code !== 1000;
    this.on.ended(told ? "" : (ENDED[code] ?? `The connection was closed (${code}).`), code === 1000);
  }

  tell(frame) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  hear(pcm) {
    if (this.socket.readyState === WebSocket.OPEN && this.socket.bufferedAmount < MOST_WAITING) this.socket.send(pcm);
  }

  end() {
    this.socket.close(1000);
  }
}
