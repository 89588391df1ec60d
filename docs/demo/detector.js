// The face detector: BlazeFace, as the package Human runs it.
import { canvas } from "./pixels.js";

const OFF = { enabled: false };
const SIDE = 256; // of the detector's input
// The detector rounds its boxes to pixels of what it is given: each pixel twice makes them finer.
const FINE = 2;

export class Detector {
  /** Fetch the detector and its model, which lie beside this file. */
  static async load() {
    const { Human } = await import("./human.js");
    const here = new URL("./", import.meta.url).href;
    const detector = {
      modelPath: "blazeface.json",
      rotation: false,
      maxDetected: 50,
      minConfidence: 0.4,
      iouThreshold: 0.3,
      scale: 1,
      skipFrames: 0,
      skipTime: 0,
    };
    const rest = { mesh: OFF, iris: OFF, attention: OFF, description: OFF, emotion: OFF, antispoof: OFF, liveness: OFF };
    const human = new Human({
      backend: "wasm",
      wasmPath: here,
      modelBasePath: here,
      flags: { WASM_HAS_MULTITHREAD_SUPPORT: false },
      cacheModels: false,
      cacheSensitivity: 0,
      warmup: "none",
      debug: false,
      filter: OFF,
      gesture: OFF,
      body: OFF,
      hand: OFF,
      object: OFF,
      segmentation: OFF,
      face: { enabled: true, detector, ...rest },
    });
    await human.load();
    return Object.assign(new Detector(), { human });
  }

  /** Boxes [x1, y1, x2, y2] as the detector gives them, in pixels of the picture, the surest first. */
  async detect(bitmap) {
    const longer = Math.max(bitmap.width, bitmap.height);
    const small = canvas(SIDE, SIDE);
    const pen = small.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(bitmap, 0, 0, (bitmap.width * SIDE) / longer, (bitmap.height * SIDE) / longer);
    const large = canvas(SIDE * FINE, SIDE * FINE);
    const context = large.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, large.width, large.height);
    const result = await this.human.detect(large);
    if (result.error) throw new Error(result.error);
    return result.face.map(({ boxRaw: [x, y, w, h] }) => [x, y, x + w, y + h].map((value) => value * longer));
  }
}
