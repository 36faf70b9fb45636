// The outline of a sound as a drawing, and where it comes from when the server has not measured it yet.

const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 64;
const STEP = 4;
const LARGEST_TO_DECODE = 30 * 1024 * 1024;

// Returns an SVG of the peaks (0 to 100) with a second layer that `progress` uncovers from the left.
export function drawWave(peaks, bars = 96) {
  const width = bars * STEP;
  const svg = make("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const d = strokes(peaks, bars);
  const id = `clip-${Math.random().toString(36).slice(2)}`;
  const clip = make("clipPath", { id });
  const rect = make("rect", { width: 0, height: HEIGHT });
  clip.append(rect);
  svg.append(make("path", { d }), clip, make("path", { d, class: "heard", "clip-path": `url(#${id})` }));
  return { svg, progress: (part) => rect.setAttribute("width", part * width) };
}

export function strokes(peaks, bars) {
  let d = "";
  for (let bar = 0; bar < bars; bar++) {
    const first = Math.floor((bar * peaks.length) / bars);
    const last = Math.max(Math.floor(((bar + 1) * peaks.length) / bars), first + 1);
    const loud = Math.min(Math.max(0, ...peaks.slice(first, last)), 100);
    const height = Math.max(Math.round((loud * (HEIGHT - 4)) / 100), 2);
    d += `M${bar * STEP + STEP / 2} ${Math.floor((HEIGHT - height) / 2)}v${height}`;
  }
  return d;
}

// Resolves to the peaks and the length of a file, or to null when this browser cannot read it.
export async function measure(blob) {
  if (blob.size > LARGEST_TO_DECODE) return null;
  try {
    const sound = await new OfflineAudioContext(1, 1, 22050).decodeAudioData(await blob.arrayBuffer());
    const samples = sound.getChannelData(0);
    const stretch = Math.max(Math.floor(samples.length / 192), 1);
    const peaks = [];
    for (let start = 0; start + stretch <= samples.length; start += stretch) {
      let peak = 0;
      for (let at = start; at < start + stretch; at += 4) peak = Math.max(peak, Math.abs(samples[at]));
      peaks.push(peak);
    }
    const top = Math.max(0.02, ...peaks);
    return { seconds: sound.duration, peaks: peaks.map((peak) => (100 * peak) / top) };
  } catch {
    return null;
  }
}

// Returns an SVG element with attributes.
export function make(name, attributes) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
