// What is shown: the picture with its boxes, the faces to choose from, the scores as bars, the times.
import { canvas } from "./pixels.js";

const LONGEST = 1280; // of the shown picture, in pixels
const percent = (value) => `${(100 * value).toFixed(1)} %`;

const milliseconds = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

/** An element with text and children. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export class View {
  /** Root element of the demo; the labels make the rows of the table once. */
  constructor(root, labels) {
    for (const name of ["stage", "picture", "faces", "choices", "scores", "title", "times"]) {
      this[name] = root.querySelector(`#demo-${name}`);
    }
    this.labels = labels;
    this.selected = 0;
    this.result = { faces: [] };
    this.choices.addEventListener("change", (event) => this.select(Number(event.target.value)));
    this.picture.addEventListener("click", (event) => this.#click(event));
    this.bars = labels.map((label) => {
      const [bar, value] = [element("span", { className: "demo-bar" }), element("td")];
      const name = element("th", { scope: "row", textContent: label });
      const row = element("tr", {}, name, element("td", { ariaHidden: "true" }, bar), value);
      this.scores.append(row);
      return { row, bar, value };
    });
  }

  /** Show a result; the largest face is chosen, or in a live picture the one that was. */
  show(bitmap, result, { mirror = false, live = false } = {}) {
    Object.assign(this, { result, mirror });
    this.frame ??= canvas(1, 1);
    const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
    this.scale = scale;
    Object.assign(this.frame, { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
    this.frame.getContext("2d").drawImage(bitmap, 0, 0, this.frame.width, this.frame.height);
    const sides = result.faces.map(({ box }) => box[2] - box[0]);
    if (!live || this.selected >= sides.length) this.selected = Math.max(0, sides.indexOf(Math.max(...sides)));
    this.stage.hidden = false;
    this.faces.hidden = !result.faces.length;
    this.choices.hidden = result.faces.length < 2;
    this.times.textContent = `Finding faces ${milliseconds(result.detection)}`;
    if (sides.length) this.times.textContent += `, naming expressions ${milliseconds(result.network)}`;
    this.#choices();
    this.select(this.selected);
  }

  /** Take everything away. */
  clear() {
    this.stage.hidden = this.faces.hidden = true;
  }

  /** Choose a face by its number. */
  select(index) {
    this.selected = index;
    this.#draw();
    const face = this.result.faces[index];
    if (!face) return;
    const radio = this.choices.querySelectorAll("input")[index];
    if (radio) radio.checked = true;
    this.title.textContent = `Face ${index + 1} of ${this.result.faces.length}: ${face.label}`;
    this.bars.forEach(({ row, bar, value }, i) => {
      row.className = this.labels[i] === face.label ? "demo-best" : "";
      bar.style.width = `${100 * face.scores[i]}%`;
      value.textContent = percent(face.scores[i]);
    });
  }

  /** One radio button a face, so that the arrow keys go from face to face; kept while their number stays. */
  #choices() {
    const { faces } = this.result;
    const spans = this.choices.querySelectorAll("span");
    const texts = faces.map(({ label, score }, i) => `${i + 1}: ${label} ${percent(score)}`);
    if (spans.length === faces.length) {
      texts.forEach((text, i) => (spans[i].textContent = text));
      return;
    }
    const radios = texts.map((textContent, i) => {
      const radio = element("input", { type: "radio", name: "demo-face", value: String(i) });
      return element("label", {}, radio, element("span", { textContent }));
    });
    this.choices.replaceChildren(...radios);
  }

  #draw() {
    const { frame, picture, scale } = this;
    const pen = picture.getContext("2d");
    Object.assign(picture, { width: frame.width, height: frame.height });
    if (this.mirror) pen.setTransform(-1, 0, 0, 1, frame.width, 0);
    pen.drawImage(frame, 0, 0);
    pen.resetTransform();
    const unit = Math.max(1, Math.max(frame.width, frame.height) / 400);
    pen.font = `bold ${11 * unit}px sans-serif`;
    pen.textBaseline = "middle";
    this.result.faces.forEach((face, i) => {
      const [x, y, w, h] = this.#box(face).map((value) => value * scale);
      const chosen = i === this.selected;
      for (const [style, width] of [["black", 4], [chosen ? "#ffd54f" : "white", 2]]) {
        Object.assign(pen, { strokeStyle: style, lineWidth: width * unit });
        pen.strokeRect(x, y, w, h);
      }
      const text = `${i + 1} ${face.label}`;
      const [wide, high] = [pen.measureText(text).width + 8 * unit, 17 * unit];
      const left = Math.max(0, Math.min(x, frame.width - wide));
      const top = y > high ? y - high : Math.min(y + h, frame.height - high);
      pen.fillStyle = chosen ? "#ffd54f" : "white";
      pen.fillRect(left, top, wide, high);
      pen.fillStyle = "black";
      pen.fillText(text, left + 4 * unit, top + high / 2);
    });
  }

  /** Left, top, width and height as shown. */
  #box({ box: [x1, y1, x2, y2] }) {
    return [this.mirror ? this.frame.width / this.scale - x2 : x1, y1, x2 - x1, y2 - y1];
  }

  #click(event) {
    const { width } = this.picture.getBoundingClientRect();
    const factor = this.picture.width / width / this.scale;
    const [px, py] = [event.offsetX * factor, event.offsetY * factor];
    const hit = this.result.faces.findIndex((face) => {
      const [x, y, w, h] = this.#box(face);
      return px >= x && px < x + w && py >= y && py < y + h;
    });
    if (hit >= 0) this.select(hit);
  }
}
