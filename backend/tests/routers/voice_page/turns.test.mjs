import assert from "node:assert/strict";
import { test } from "node:test";

import { Turns } from "../../../routers/voice_page/turns.js";

function turns() {
  const shown = [];
  return { turns: new Turns((state) => shown.push(state)), shown };
}

test("a turn goes from listening to speaking and back", () => {
  const { turns: it, shown } = turns();
  it.hears();
  it.ask();
  it.begin(1);
  it.speak();
  it.played(false);
  it.end(1);
  assert.equal(it.state, "speaking", "its sound is still under way");
  it.played(true);
  assert.deepEqual(shown, ["listening", "hearing", "thinking", "speaking", "listening"]);
});

test("silence in the middle of an answer does not end it", () => {
  const { turns: it } = turns();
  it.ask();
  it.begin(1);
  it.speak();
  it.played(true);
  assert.equal(it.state, "speaking");
  it.end(1);
  assert.equal(it.state, "listening");
});

test("the end of the turn before does not end the next one", () => {
  const { turns: it } = turns();
  it.ask();
  it.begin(1);
  it.speak();
  it.ask(); // typed into the answer
  it.interrupt();
  it.ask();
  it.end(1);
  assert.equal(it.state, "thinking");
  it.begin(2);
  it.end(1);
  assert.equal(it.state, "thinking");
});

test("after an interruption somebody is heard, and their silence does not look as if they were", () => {
  const { turns: it } = turns();
  it.ask();
  it.begin(1);
  it.speak();
  it.interrupt();
  it.hears();
  it.end(1);
  assert.equal(it.state, "hearing");
  it.hearsNothing();
  assert.equal(it.state, "listening");
});

test("a turn that cannot begin ends", () => {
  const { turns: it } = turns();
  it.ask();
  it.end(1);
  assert.equal(it.state, "listening");
});

test("an answer that nobody can speak ends with its text", () => {
  const { turns: it } = turns();
  it.ask();
  it.begin(1);
  assert.equal(it.answering, true);
  it.end(1);
  assert.equal(it.state, "listening");
});
