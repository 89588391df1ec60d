// The two networks together: what was built, the faces of a picture, the expression of each.
import { Detector } from "./detector.js";
import { canvas, input, place } from "./pixels.js";

/** What was built: names, sizes, preprocessing. Throws an Error that says why where nothing was. */
export async function configuration() {
  const answer = await fetch(new URL("demo.json", import.meta.url));
  const cfg = answer.ok ? await answer.json() : { missing: `demo.json: ${answer.status}` };
  if (cfg.missing) throw new Error(`This copy of the pages was built without the demo: ${cfg.missing}`);
  return cfg;
}

/** Load both networks. */
export async function load(cfg) {
  const [detector, session] = await Promise.all([Detector.load(), loadNetwork(cfg)]);
  const both = new Networks(cfg, detector, session);
  // The first run is slow, and would be taken for the speed.
  await detector.detect(canvas(1, 1));
  await both.classify(new Float32Array(cfg.height * cfg.width));
  return both;
}

async function loadNetwork(cfg) {
  const ort = await import("./ort.js");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
  const session = await ort.InferenceSession.create(new URL(cfg.file, import.meta.url).href);
  return { ort, session };
}

class Networks {
  constructor(cfg, detector, { ort, session }) {
    Object.assign(this, { cfg, detector, ort, session });
  }

  /** Scores (faces of classes) of normalised inputs, (faces * height * width). */
  async classify(data) {
    const { height, width } = this.cfg;
    const faces = data.length / (height * width);
    const tensor = new this.ort.Tensor("float32", data, [faces, 1, height, width]);
    const [name] = this.session.inputNames;
    const { data: scores, dims } = (await this.session.run({ [name]: tensor }))[this.session.outputNames[0]];
    return Array.from({ length: faces }, (_, i) => Array.from(scores.slice(i * dims[1], (i + 1) * dims[1])));
  }

  /** The faces of a picture, each with its box, scores and label, and the milliseconds that it took. */
  async analyse(bitmap) {
    const { cfg } = this;
    const start = performance.now();
    const found = await this.detector.detect(bitmap);
    const boxes = found.map((box) => place(box, cfg.framing, bitmap.width, bitmap.height)).filter(Boolean);
    const middle = performance.now();
    const inputs = boxes.map((box) => input(bitmap, box, cfg));
    const data = new Float32Array(inputs.length * cfg.height * cfg.width);
    inputs.forEach((values, i) => data.set(values, i * values.length));
    const scores = boxes.length ? await this.classify(data) : [];
    const faces = boxes.map((box, i) => {
      const best = scores[i].indexOf(Math.max(...scores[i]));
      return { box, scores: scores[i], label: cfg.labels[best], score: scores[i][best] };
    });
    faces.sort((a, b) => a.box[0] - b.box[0]);
    return { faces, detection: middle - start, network: performance.now() - middle };
  }
}
