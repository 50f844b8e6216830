/** The audio that waits to be played, and how much of which turn has been. Knows nothing of browsers: see the worklet. */

export const RATE = 16000;
const SAMPLES_A_MS = RATE / 1000;
const TOLD_EVERY = 100 * SAMPLES_A_MS;
/** Sound that stops in the middle of a wave clicks: so many samples (4 ms) of it are faded out instead. */
const FADED = 64;

export class Playing {
  /** @param {(played: {turn: number, ms: number, dry: boolean}) => void} tell hears of a turn's progress. `dry`: nothing waits. */
  constructor(tell) {
    this.tell = tell;
    this.waiting = []; // {turn, at, samples}; `at` is where in the turn's audio they begin, in samples
    this.place = 0; // in the first one
    this.taking = null; // {turn, at} of what comes next; null: nothing is expected
    this.heard = { turn: 0, at: 0 };
    this.untold = 0;
  }

  /** Audio of this turn follows, from there on. What waits of the turn before is still played. */
  start(turn, fromMs) {
    this.taking = { turn, at: fromMs * SAMPLES_A_MS };
    if (this.waiting.length === 0) this.heard = { ...this.taking };
  }

  /** @param {Int16Array} samples */
  add(samples) {
    // After an interruption frames may still be under way. Nobody wants to hear them.
    if (this.taking === null || samples.length === 0) return;
    this.waiting.push({ ...this.taking, samples });
    this.taking.at += samples.length;
  }

  /** Be silent now, and tell how far it came. */
  drop(turn) {
    const first = this.waiting[0];
    if (first !== undefined) {
      const rest = first.samples.slice(this.place, this.place + FADED);
      this.heard = { turn: first.turn, at: first.at + this.place + rest.length };
      const samples = rest.map((sample, index) => sample * (1 - (index + 1) / rest.length));
      this.waiting = [{ turn: first.turn, at: first.at + this.place, samples }];
      this.place = 0;
    }
    this.taking = null;
    if (this.heard.turn !== turn) this.heard = { turn, at: 0 }; // it was interrupted before its first sound
    this.report(true);
  }

  /** The next samples for the loudspeaker, silence where there are none. @param {Float32Array} output */
  fill(output) {
    let filled = 0;
    while (filled < output.length && this.waiting.length > 0) {
      filled += this.copy(output, filled);
    }
    output.fill(0, filled);
    if (this.untold >= TOLD_EVERY || (this.untold > 0 && this.waiting.length === 0)) {
      this.report(this.waiting.length === 0);
    }
  }

  copy(output, filled) {
    const { turn, at, samples } = this.waiting[0];
    if (turn !== this.heard.turn && this.untold > 0) this.report(false);
    const count = Math.min(samples.length - this.place, output.length - filled);
    for (let index = 0; index < count; index++) output[filled + index] = samples[this.place + index] / 32768;
    this.place += count;
    this.untold += count;
    this.heard = { turn, at: at + this.place };
    if (this.place === samples.length) {
      this.waiting.shift();
      this.place = 0;
    }
    return count;
  }

  report(dry) {
    this.untold = 0;
    this.tell({ turn: this.heard.turn, ms: Math.floor(this.heard.at / SAMPLES_A_MS), dry });
  }
}
