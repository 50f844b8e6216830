/** Whose turn it is, as far as the person should see it. */

export class Turns {
  /** @param {(state: string) => void} show */
  constructor(show) {
    this.show = show;
    this.latest = 0;
    this.over = true; // nothing more comes of the latest turn, but its audio may still be played
    this.dry = true; // nothing waits to be played
    this.asked = false; // the person has said something that no turn has begun for yet
    this.state = "";
    this.change("listening");
  }

  get answering() {
    return this.state === "thinking" || this.state === "speaking";
  }

  hears() {
    this.change("hearing");
  }

  hearsNothing() {
    if (this.state === "hearing") this.change(this.over && !this.asked ? "listening" : "thinking");
  }

  ask() {
    this.asked = true;
    this.change("thinking");
  }

  begin(turn) {
    this.latest = Math.max(this.latest, turn);
    this.asked = this.over = false;
  }

  speak() {
    this.dry = false;
    this.change("speaking");
  }

  interrupt() {
    this.dry = true;
    this.change("interrupted");
  }

  /** The player tells whether something waits to be played. */
  played(dry) {
    this.dry = dry;
    this.settle();
  }

  /** Nothing more comes of this turn. One that could not even begin was never the latest. */
  end(turn) {
    if (turn > this.latest) this.asked = false;
    if (turn >= this.latest) this.over = true;
    this.settle();
  }

  settle() {
    if (this.over && this.dry && !this.asked && this.state !== "hearing") this.change("listening");
  }

  change(state) {
    if (state === this.state) return;
    this.state = state;
    this.show(state);
  }
}
