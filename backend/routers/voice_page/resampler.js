/** Sound at another rate. Above half the new rate nothing may be left, or it would come back as a false tone. */

const CROSSINGS = 8; // of the filter's wave, to each side
const PHASES = 128; // places between two samples that the filter is known for

export class Resampler {
  constructor(from, to) {
    this.step = from / to;
    const wide = Math.max(1, this.step);
    this.reach = Math.ceil(CROSSINGS * wide);
    this.filters = Array.from({ length: PHASES }, (_, phase) => filter(phase / PHASES, this.reach, wide));
    this.kept = new Float32Array(2 * this.reach); // silence before the first sound
    this.next = this.reach; // where in `kept` and what follows the next sample lies
  }

  /** @param {Float32Array} samples @returns {Float32Array} what they are at the new rate, about 1 ms late */
  push(samples) {
    if (this.step === 1) return samples;
    const all = new Float32Array(this.kept.length + samples.length);
    all.set(this.kept);
    all.set(samples, this.kept.length);
    const made = [];
    while (this.next + this.reach + 1 < all.length) {
      const whole = Math.floor(this.next);
      const taps = this.filters[Math.floor((this.next - whole) * PHASES)];
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap++) sum += taps[tap] * all[whole - this.reach + 1 + tap];
      made.push(sum);
      this.next += this.step;
    }
    const gone = Math.max(0, Math.floor(this.next) - this.reach);
    this.kept = all.slice(gone);
    this.next -= gone;
    return Float32Array.from(made);
  }
}

/** A wave that passes what is slower than half the lower rate, faded to both sides (Hann). */
function filter(between, reach, wide) {
  const taps = Float32Array.from({ length: 2 * reach }, (_, tap) => {
    const away = (tap - reach + 1 - between) / wide;
    const wave = away === 0 ? 1 : Math.sin(Math.PI * away) / (Math.PI * away);
    return wave * Math.cos((Math.PI * away) / (2 * (CROSSINGS + 1))) ** 2;
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
}
