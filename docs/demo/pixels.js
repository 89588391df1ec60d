// From a picture and a box to the network's input: the same numbers as ferzoo's Predictor, which uses Pillow.

/** Round as Python does: a half goes to the even neighbour. */
function round(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/** Move a detector's box [x1, y1, x2, y2] to the face, then outward to whole pixels of the picture; null if it is off. */
export function place(box, framing, width, height) {
  const side = box[2] - box[0];
  const [dx, dy] = [framing.right * side, framing.down * side];
  const out = [
    Math.max(0, Math.floor(box[0] + dx)),
    Math.max(0, Math.floor(box[1] + dy)),
    Math.min(width, Math.ceil(box[2] + dx)),
    Math.min(height, Math.ceil(box[3] + dy)),
  ];
  return out[2] > out[0] && out[3] > out[1] ? out : null;
}

/** The square around a box: left, top and side in pixels; it may reach off the picture. */
export function square(box, margin) {
  const [x1, y1, x2, y2] = box;
  const side = Math.max(1, round(Math.max(x2 - x1, y2 - y1) * (1 + 2 * margin)));
  return { left: round((x1 + x2 - side) / 2), top: round((y1 + y2 - side) / 2), side };
}

/** Grey by ITU-R 601, as Pillow rounds it, of RGBA bytes. */
export function grey(rgba) {
  const out = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < out.length; i++) {
    out[i] = (19595 * rgba[4 * i] + 38470 * rgba[4 * i + 1] + 7471 * rgba[4 * i + 2] + 32768) >> 16;
  }
  return out;
}

/** Continue a grey window to a square by repeating the pixels at its edge. */
export function extend(window, x, y, width, height, side) {
  const out = new Uint8Array(side * side);
  for (let row = 0; row < side; row++) {
    const from = Math.min(Math.max(row - y, 0), height - 1) * width;
    for (let column = 0; column < side; column++) {
      out[row * side + column] = window[from + Math.min(Math.max(column - x, 0), width - 1)];
    }
  }
  return out;
}

const BITS = 22; // Pillow's fixed point

function cubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** For each pixel of the result, where in the source its weights begin, and the weights. */
function weights(from, to) {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
    const last = Math.min(from, Math.trunc(centre + 2 * stretch + 0.5));
    const raw = Array.from({ length: last - first }, (_, j) => cubic((j + first - centre + 0.5) / stretch));
    const sum = raw.reduce((a, b) => a + b, 0);
    const fixed = raw.map((w) => Math.trunc((w / sum) * 2 ** BITS + (w < 0 ? -0.5 : 0.5)));
    return { first, fixed };
  });
}

/** One pass along the rows, with the result turned over: two passes bring it back. */
function pass(pixels, width, height, to) {
  const out = new Uint8Array(to * height);
  weights(width, to).forEach(({ first, fixed }, i) => {
    for (let row = 0; row < height; row++) {
      let sum = 2 ** (BITS - 1);
      for (let j = 0; j < fixed.length; j++) sum += pixels[row * width + first + j] * fixed[j];
      out[i * height + row] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
    }
  });
  return out;
}

/** Resize grey bytes by the cubic filter, widened where the picture shrinks; equal to Pillow's to the last bit. */
export function resize(pixels, width, height, newWidth, newHeight) {
  return pass(pass(pixels, width, height, newWidth), height, newWidth, newHeight);
}

/** A picture's square as the network takes it: normalised float32, height * width. */
export function input(bitmap, box, cfg) {
  const { left, top, side } = square(box, cfg.framing.margin);
  const [x1, y1] = [Math.max(0, left), Math.max(0, top)];
  const width = Math.min(bitmap.width, left + side) - x1;
  const height = Math.min(bitmap.height, top + side) - y1;
  const context = canvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, x1, y1, width, height, 0, 0, width, height);
  const window = grey(context.getImageData(0, 0, width, height).data);
  const whole = extend(window, x1 - left, y1 - top, width, height, side);
  const small = resize(whole, side, side, cfg.width, cfg.height);
  return Float32Array.from(small, (value) => (value / 255 - cfg.mean) / cfg.std);
}

/** A canvas that is not on the page. */
export function canvas(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}
