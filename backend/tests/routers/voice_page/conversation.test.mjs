import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, Conversation } from "../../../routers/voice_page/conversation.js";

const AGENT = "6f1c2f9e-8a53-4c53-9b1e-2f6d2c1a7b10";
const of = (page, threadId = null) => addressOf(new URL(page), threadId).href;

test("the address is that of the page's agent, as safe as the page's own", () => {
  assert.equal(of(`http://127.0.0.1:8000/voice-demo/${AGENT}`), `ws://127.0.0.1:8000/api/v1/agents/${AGENT}/voice`);
  assert.equal(of(`https://numen.test/voice-demo/${AGENT}/?key=secret#x`), `wss://numen.test/api/v1/agents/${AGENT}/voice`);
});

test("a thread is gone on with, and a session has its own", () => {
  const page = `http://numen.test/voice-demo/${AGENT}`;
  const socket = `ws://numen.test/api/v1/agents/${AGENT}/voice`;
  assert.equal(of(page, "t-1"), `${socket}?thread_id=t-1`);
  assert.equal(of(`${page}?thread_id=t%261`), `${socket}?thread_id=t%261`);
  assert.equal(of(`${page}?thread_id=t-1`, "t-2"), `${socket}?thread_id=t-2`);
  assert.equal(of(`${page}?session_id=s-1`, "t-2"), `${socket}?session_id=s-1`);
});

class FakeSocket {
  static OPEN = 1;
  sent = [];
  readyState = 1;
  bufferedAmount = 0;
  constructor(address, protocol) {
    this.asked = { address, protocol };
  }
  send(data) {
    this.sent.push(data);
  }
}

function conversation(key) {
  globalThis.WebSocket = FakeSocket;
  const seen = [];
  const on = {
    event: (event) => seen.push(event),
    audio: (pcm) => seen.push(pcm),
    ended: (...how) => seen.push(how),
  };
  const it = new Conversation("ws://numen.test/", key, on);
  it.socket.onopen();
  return { it, seen, sent: it.socket.sent };
}

test("the key is in the first frame and nowhere else", () => {
  const { it, sent } = conversation("numen_sk_1");
  assert.deepEqual(it.socket.asked, { address: "ws://numen.test/", protocol: "numen.voice.v1" });
  assert.deepEqual(sent.map(JSON.parse), [{ type: "start", token: "numen_sk_1" }]);
  assert.deepEqual(conversation("").sent.map(JSON.parse), [{ type: "start" }]);
});

test("audio and events are told apart", () => {
  const { it, seen } = conversation("");
  const pcm = new ArrayBuffer(4);
  it.socket.onmessage({ data: pcm });
  it.socket.onmessage({ data: '{"type": "audio.end", "turn": 1, "ms": 5}' });
  assert.deepEqual(seen, [pcm, { type: "audio.end", turn: 1, ms: 5 }]);
});

test("the end says why", () => {
  const ends = (code, ...events) => {
    const { it, seen } = conversation("");
    for (const event of events) it.socket.onmessage({ data: JSON.stringify(event) });
    it.socket.onclose({ code });
    return seen.at(-1);
  };
  const error = { type: "error", title: "Idle", detail: "Nothing was heard." };
  assert.deepEqual(ends(1000), ["You ended the conversation.", true]);
  assert.deepEqual(ends(1008, error), ["", false], "the error has said it");
  assert.match(ends(1006, error, { type: "turn.metrics" })[0], /connection was lost/, "that error was another one");
  assert.match(ends(4321)[0], /4321/);
});

test("a slow line drops audio instead of saying it late", () => {
  const { it, sent } = conversation("");
  it.hear(new ArrayBuffer(640));
  it.socket.bufferedAmount = 200_000;
  it.hear(new ArrayBuffer(640));
  it.socket.readyState = 3;
  it.tell({ type: "stop" });
  assert.equal(sent.length, 2);
});
