// A take from the microphone: its level while it is sung, and the sound of it afterwards.

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
// What cleans up speech takes the tune out of a hum.
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

// Starts a take. `tell` hears (seconds, level from 0 to 1) many times a second; the take ends at `longest` seconds.
export async function startTake({ longest, tell }) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: RAW });
  const context = new AudioContext();
  const meter = context.createAnalyser();
  meter.fftSize = 2048;
  context.createMediaStreamSource(stream).connect(meter);
  const type = TYPES.find((each) => MediaRecorder.isTypeSupported(each));
  const recorder = new MediaRecorder(stream, { ...(type ? { mimeType: type } : {}), audioBitsPerSecond: 128000 });
  const pieces = [];
  const samples = new Float32Array(meter.fftSize);
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;

  const listen = () => {
    meter.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
    // 50 decibels of loudness over the whole scale.
    tell(seconds(), Math.min(Math.max(1 + (10 * Math.log10(power + 1e-9)) / 50, 0), 1));
    if (seconds() >= longest) stop();
  };
  const stop = () => recorder.state !== "inactive" && recorder.stop();
  const timer = setInterval(listen, 50);
  const finished = new Promise((done) => {
    recorder.addEventListener("dataavailable", (event) => event.data.size && pieces.push(event.data));
    recorder.addEventListener("stop", () => {
      clearInterval(timer);
      const length = seconds();
      stream.getTracks().forEach((track) => track.stop());
      context.close();
      done({ blob: new Blob(pieces, { type: recorder.mimeType }), seconds: length });
    });
  });
  recorder.start(1000);
  return { stop, finished };
}

// The name under which a take is sent.
export const takeName = (type) => `take.${type.includes("mp4") ? "m4a" : type.includes("ogg") ? "ogg" : "webm"}`;
