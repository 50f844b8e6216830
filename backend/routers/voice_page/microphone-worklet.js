/** The microphone's end, on the audio thread: frames of 20 ms, PCM16 at 16 kHz, whatever the browser's rate is. */

import { Resampler } from "./resampler.js";

const RATE = 16000;
const FRAME = RATE / 50;

class MicrophoneProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
  }

  process([input]) {
    if (input.length > 0) this.resampler.push(input[0]).forEach((sample) => this.add(sample));
    return true;
  }

  add(sample) {
    this.frame[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    if (this.filled < FRAME) return;
    this.port.postMessage(this.frame.buffer, [this.frame.buffer]);
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
  }
}

registerProcessor("numen-microphone", MicrophoneProcessor);
