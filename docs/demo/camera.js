// The webcam: one frame after the other, each when the last is done.

const REASONS = {
  NotAllowedError: "The camera was denied. Allow it in the browser's settings of this page, or use a photograph.",
  NotFoundError: "No camera was found. Use a photograph.",
  NotReadableError: "The camera cannot be read; another program may be using it.",
};

function end(stream) {
  for (const track of stream.getTracks()) track.stop();
}

export class Camera {
  #stream = null;
  #asked = 0; // of requests that are answered one after the other, the last counts

  get running() {
    return this.#stream !== null;
  }

  /** Ask for the camera, unless `stop` comes first. Throws an Error whose message is for the reader. */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers give the camera only to pages that come over https or from this machine.");
    }
    this.stop();
    const mine = this.#asked;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
      if (mine !== this.#asked) {
        end(stream);
        return;
      }
      this.#stream = stream;
      // It may be unplugged while the networks load.
      const unplugged = () => this.#stream === stream && this.stop();
      for (const track of stream.getTracks()) track.addEventListener("ended", unplugged);
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The camera does not start: ${error.message}`);
    }
  }

  /** Give each frame to a function, until `stop`. */
  async run(take) {
    const stream = this.#stream;
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
    await video.play();
    while (this.#stream === stream) {
      const bitmap = await createImageBitmap(video);
      try {
        await take(bitmap);
      } finally {
        bitmap.close();
      }
      await new Promise(requestAnimationFrame);
    }
  }

  /** Switch the camera off. */
  stop() {
    this.#asked += 1;
    if (this.#stream) end(this.#stream);
    this.#stream = null;
  }
}
