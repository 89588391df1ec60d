// The page: buttons, dropped files, messages. Nothing is sent anywhere; the page's policy forbids it, too.
import { Camera } from "./camera.js";
import { configuration, load } from "./networks.js";
import { View } from "./view.js";

const root = document.querySelector("#demo");
const [file, choose, sample, webcam, status] = ["file", "choose", "sample", "webcam", "status"].map((name) =>
  root.querySelector(`#demo-${name}`),
);
const camera = new Camera();
let cfg, view, loading;
let loaded = false;
let turn = 0; // of two pictures that are given one after the other, the later counts

/** Tell the reader, and screen readers; the same words are not repeated. */
function say(text, kind = "") {
  root.dataset.state = kind;
  if (status.textContent !== text) status.textContent = text;
}

/** Load the networks when they are first needed. */
function networks() {
  loading ??= load(cfg).then(
    (both) => {
      loaded = true;
      return both;
    },
    (error) => {
      loading = undefined;
      throw new Error(`The networks could not be loaded: ${error.message}`);
    },
  );
  return loading;
}

/** Run a task that a reader started; what goes wrong becomes a message. */
async function attempt(task) {
  const mine = ++turn;
  stop();
  view.clear();
  say(loaded ? "Looking for faces …" : `Loading the networks (${Math.round(cfg.bytes / 1e6)} MB, once) …`, "busy");
  try {
    await task(() => mine === turn);
  } catch (error) {
    if (mine === turn) say(error.message, "error");
    if (mine === turn) stop();
  }
}

function stop() {
  camera.stop();
  webcam.textContent = "Start the camera";
}

function off() {
  stop();
  say("The camera is off.", "done");
}

function found(faces) {
  if (!faces.length) return "No face was found. Faces have to be upright, frontal and not too small.";
  const labels = faces.map(({ label }) => label).join(", ");
  return `${faces.length} ${faces.length === 1 ? "face" : "faces"}: ${labels}.`;
}

/** Analyse a picture's bytes. */
async function photograph(blob, current) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${blob.name ?? "This"} is not an image that this browser can read.`);
  }
  try {
    const result = await (await networks()).analyse(bitmap);
    if (!current()) return;
    view.show(bitmap, result);
    say(found(result.faces), result.faces.length ? "done" : "error");
  } finally {
    bitmap.close();
  }
}

async function film(current) {
  await camera.start();
  if (!current()) return;
  webcam.textContent = "Stop the camera";
  const both = await networks();
  if (!current()) return;
  const show = async (bitmap) => {
    const result = await both.analyse(bitmap);
    if (!current() || !camera.running) return;
    view.show(bitmap, result, { mirror: true, live: true });
    say(result.faces.length ? "The camera is running." : "The camera is running. No face was found.", "live");
  };
  if (camera.running) await camera.run(show);
  if (current()) off();
}

function take(files) {
  if (files.length) attempt((current) => photograph(files[0], current));
  else say("That is not a file. Save the picture first, and drop or choose its file.", "error");
}

function listen() {
  choose.addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files.length) take([...file.files]);
    file.value = ""; // the same file may be chosen again
  });
  sample.addEventListener("click", () =>
    attempt(async (current) => photograph(await (await fetch(sample.dataset.source)).blob(), current)),
  );
  webcam.addEventListener("click", () => {
    if (camera.running) off();
    else attempt(film);
  });
  window.addEventListener("pagehide", stop);
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    root.addEventListener(kind, (event) => {
      event.preventDefault();
      root.classList.toggle("demo-over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") take([...event.dataTransfer.files]);
    });
  }
}

/** What is dropped beside the frame, or too early, must not take the page away; text may go into the search. */
function keep(event) {
  const text = event.target instanceof HTMLInputElement && !event.dataTransfer.types.includes("Files");
  if (!text) event.preventDefault();
}

for (const kind of ["dragover", "drop"]) document.addEventListener(kind, keep);

try {
  cfg = await configuration();
  view = new View(root, cfg.labels);
  listen();
  for (const button of [choose, sample, webcam]) button.disabled = false;
  say("Drop a photograph here, or choose one.", "ready");
} catch (error) {
  say(error.message, "error");
}
