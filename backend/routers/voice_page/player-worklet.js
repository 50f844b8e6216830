/** The loudspeaker's end, on the audio thread: there a busy page cannot delay an interruption. */

import { Playing } from "./playing.js";

class PlayerProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.playing = new Playing((played) => this.port.postMessage(played));
    this.port.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.playing.add(new Int16Array(data));
      else if (data.start !== undefined) this.playing.start(data.start, data.fromMs);
      else this.playing.drop(data.drop);
    };
  }

  process(_inputs, [output]) {
    this.playing.fill(output[0]);
    return true; // it goes on after silence
  }
}

registerProcessor("numen-player", PlayerProcessor);
