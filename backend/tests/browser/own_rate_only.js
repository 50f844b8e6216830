// As Firefox does it: a microphone connects to a context of the device's own rate only.
const connect = AudioContext.prototype.createMediaStreamSource;
AudioContext.prototype.createMediaStreamSource = function (stream) {
  if (this.sampleRate === 16000) throw new DOMException("different sample rates", "NotSupportedError");
  return connect.call(this, stream);
};
