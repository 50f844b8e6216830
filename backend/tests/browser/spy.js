// Run in the page before its own scripts: what it heard, said and violated, each with when (milliseconds).
window.spy = { told: [], sent: [], sound: [], violations: [] };

document.addEventListener("securitypolicyviolation", (event) => {
  window.spy.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});

window.WebSocket = class extends WebSocket {
  constructor(...asked) {
    super(...asked);
    window.spy.asked = asked.map(String);
    this.addEventListener("message", ({ data }) => {
      if (typeof data === "string") window.spy.told.push({ at: performance.now(), ...JSON.parse(data) });
    });
  }

  send(data) {
    if (typeof data === "string") window.spy.sent.push({ at: performance.now(), ...JSON.parse(data) });
    super.send(data);
  }
};

// Whatever goes to the loudspeaker is measured on its way, 8 ms at a time.
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode) {
    const ear = new AnalyserNode(this.context, { fftSize: 128 });
    const samples = new Float32Array(ear.fftSize);
    connect.call(this, ear);
    setInterval(() => {
      ear.getFloatTimeDomainData(samples);
      window.spy.sound.push([performance.now(), samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0)]);
    }, 4);
  }
  return connect.call(this, target, ...rest);
};
