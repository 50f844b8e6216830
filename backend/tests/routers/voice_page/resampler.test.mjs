import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler } from "../../../routers/voice_page/resampler.js";

const RATE = 16000;

/** A second of a tone at this rate, resampled in the quanta of an audio thread. */
function resampled(rate, hertz) {
  const resampler = new Resampler(rate, RATE);
  const made = [];
  for (let at = 0; at + 128 <= rate; at += 128) {
    const quantum = Float32Array.from({ length: 128 }, (_, index) => Math.sin((2 * Math.PI * hertz * (at + index)) / rate));
    made.push(...resampler.push(quantum));
  }
  return made;
}

const loudness = (samples) => Math.sqrt(samples.reduce((sum, one) => sum + one * one, 0) / samples.length);

for (const rate of [48000, 44100, 22050, 16000, 8000]) {
  test(`a second of ${rate} Hz is a second`, () => {
    const made = resampled(rate, 440);
    assert.ok(Math.abs(made.length - RATE) < 200, `${made.length} samples`);
  });

  test(`a tone of a voice at ${rate} Hz stays what it is`, () => {
    const made = resampled(rate, 440).slice(1000, 15000);
    let crossings = 0;
    for (let at = 1; at < made.length; at++) crossings += made[at - 1] < 0 && made[at] >= 0;
    assert.ok(Math.abs(crossings - (440 * made.length) / RATE) <= 1, `${crossings} waves`);
    assert.ok(Math.abs(loudness(made) - Math.SQRT1_2) < 0.02, `${loudness(made)} loud`);
  });
}

for (const rate of [48000, 44100]) {
  test(`what 16 kHz cannot hold does not come back as a false tone of ${rate} Hz`, () => {
    assert.ok(loudness(resampled(rate, 11000).slice(1000)) < 0.01);
  });
}
