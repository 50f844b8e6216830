/** Plays what the agent says. */

export class Player {
  /**
   * @param {AudioContext} context of 16 kHz, so that samples are played as they come
   * @param {(played: {turn: number, ms: number, dry: boolean}) => void} onPlayed
   */
  static async open(context, onPlayed) {
    await context.audioWorklet.addModule("/voice-demo/files/player-worklet.js");
    return new Player(context, onPlayed);
  }

  constructor(context, onPlayed) {
    this.node = new AudioWorkletNode(context, "numen-player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => onPlayed(data);
    this.node.connect(context.destination);
  }

  start(turn, fromMs) {
    this.node.port.postMessage({ start: turn, fromMs });
  }

  /** @param {ArrayBuffer} pcm is given away: its memory goes to the audio thread */
  add(pcm) {
    this.node.port.postMessage(pcm, [pcm]);
  }

  drop(turn) {
    this.node.port.postMessage({ drop: turn });
  }

  close() {
    this.node.port.onmessage = null;
    this.node.disconnect();
  }
}
