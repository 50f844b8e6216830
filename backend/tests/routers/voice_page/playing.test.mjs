import assert from "node:assert/strict";
import { test } from "node:test";

import { Playing } from "../../../routers/voice_page/playing.js";

const QUANTUM = 128;

function player() {
  const told = [];
  const playing = new Playing((played) => told.push(played));
  const play = (quanta) => {
    const heard = new Float32Array(quanta * QUANTUM).fill(9);
    for (let at = 0; at < heard.length; at += QUANTUM) playing.fill(heard.subarray(at, at + QUANTUM));
    return heard;
  };
  return { playing, told, play, last: () => told.at(-1) };
}

const sound = (ms, sample = 16384) => new Int16Array(ms * 16).fill(sample);

test("without audio it is silent and tells nothing", () => {
  const { play, told } = player();
  assert.ok(play(50).every((sample) => sample === 0));
  assert.deepEqual(told, []);
});

test("samples come out as they came in, across frames, and then silence", () => {
  const { playing, play } = player();
  playing.start(1, 0);
  playing.add(Int16Array.of(-32768, 0, 16384));
  playing.add(sound(8));
  const heard = play(2);
  assert.deepEqual([...heard.slice(0, 3)], [-1, 0, 0.5]);
  assert.ok(heard.slice(3, 131).every((sample) => sample === 0.5));
  assert.ok(heard.slice(131).every((sample) => sample === 0));
});

test("what was played is told about every 100 ms, and when nothing is left", () => {
  const { playing, play, told } = player();
  playing.start(1, 0);
  playing.add(sound(250));
  play(40);
  assert.deepEqual(told, [
    { turn: 1, ms: 104, dry: false },
    { turn: 1, ms: 208, dry: false },
    { turn: 1, ms: 250, dry: true },
  ]);
});

test("a gap in the audio is no end: it goes on counting", () => {
  const { playing, play, last } = player();
  playing.start(1, 0);
  playing.add(sound(40));
  play(20);
  assert.deepEqual(last(), { turn: 1, ms: 40, dry: true });
  playing.add(sound(40));
  play(20);
  assert.deepEqual(last(), { turn: 1, ms: 80, dry: true });
});

test("dropped audio fades within the next quantum, and what is told is what came out", () => {
  const { playing, play, told, last } = player();
  playing.start(1, 0);
  playing.add(sound(400));
  play(5); // 40 ms
  playing.drop(1);
  assert.deepEqual(told, [{ turn: 1, ms: 44, dry: true }]);
  const heard = play(2);
  const loud = heard.findLastIndex((sample) => sample !== 0) + 1;
  assert.ok(loud > 0 && loud <= 64, `${loud} samples after the interruption`);
  assert.ok(heard.slice(0, loud).every((sample, at, all) => at === 0 || sample <= all[at - 1]), "it fades");
  assert.equal(last().ms, 44);
});

test("audio under way when it was interrupted is not played", () => {
  const { playing, play } = player();
  playing.start(1, 0);
  playing.add(sound(40));
  playing.drop(1);
  play(1);
  playing.add(sound(40));
  assert.ok(play(10).every((sample) => sample === 0));
});

test("after a false start it goes on from where the server says", () => {
  const { playing, play, last } = player();
  playing.start(1, 0);
  playing.add(sound(400));
  play(40); // 320 ms
  playing.drop(1);
  assert.equal(last().ms, 324);
  playing.start(1, 250);
  playing.add(sound(50));
  play(20);
  assert.deepEqual(last(), { turn: 1, ms: 300, dry: true });
  playing.drop(1);
  assert.equal(last().ms, 300);
});

test("the rest of a turn is played before the next one, and each is told by its own number", () => {
  const { playing, play, told } = player();
  playing.start(1, 0);
  playing.add(sound(20));
  playing.start(2, 0);
  playing.add(sound(20));
  play(10);
  assert.deepEqual(told, [
    { turn: 1, ms: 20, dry: false },
    { turn: 2, ms: 20, dry: true },
  ]);
});

test("a turn that was interrupted before its first sound was not heard", () => {
  const { playing, play, told } = player();
  playing.start(1, 0);
  playing.add(sound(20));
  play(10);
  playing.drop(2);
  assert.deepEqual(told.at(-1), { turn: 2, ms: 0, dry: true });
  playing.start(3, 0);
  playing.drop(3);
  assert.deepEqual(told.at(-1), { turn: 3, ms: 0, dry: true });
});
