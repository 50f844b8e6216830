/** Hears the person. */

const WANTED = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const WHY_NOT = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it beside the address, then connect again.",
  NotFoundError: "This device has no microphone.",
  NotReadableError: "The microphone is in use by another program.",
};

export class Microphone {
  /**
   * Ask for the microphone and begin to hear.
   * @param {AudioContext} context of 16 kHz
   * @param {(pcm: ArrayBuffer) => void} onFrame gets 20 ms each
   * @throws {Error} whose message is for the person
   */
  static async open(context, onFrame) {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
    } catch (error) {
      throw new Error(WHY_NOT[error.name] ?? `The microphone cannot be used: ${error.message}`, { cause: error });
    }
    const microphone = new Microphone(stream);
    try {
      await microphone.connect(context, onFrame);
    } catch (error) {
      microphone.close();
      throw error;
    }
    return microphone;
  }

  constructor(stream) {
    this.stream = stream;
    this.own = null;
  }

  async connect(context, onFrame) {
    let source;
    try {
      source = context.createMediaStreamSource(this.stream);
    } catch {
      // Firefox connects a microphone to a context of the device's own rate only; the worklet then resamples.
      this.own = context = new AudioContext();
      source = context.createMediaStreamSource(this.stream);
    }
    await context.audioWorklet.addModule("/voice-demo/files/microphone-worklet.js");
    this.node = new AudioWorkletNode(context, "numen-microphone", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.node.port.onmessage = ({ data }) => onFrame(data);
    source.connect(this.node);
    this.source = source;
  }

  /** A muted microphone gives silence: frames go on, so that the other end knows that a sentence is over. */
  set muted(muted) {
    for (const track of this.stream.getTracks()) track.enabled = !muted;
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
    if (this.node !== undefined) this.node.port.onmessage = null;
    this.source?.disconnect();
    this.own?.close();
  }
}
