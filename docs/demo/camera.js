// The webcam: one frame after the other, each when the last is done.

const REASONS = {
  NotAllowedError: "The camera was denied. Allow it in the browser's settings of this page, or use a photograph.",
  NotFoundError: "No camera was found. Use a photograph.",
  NotReadableError: "The camera cannot be read; another program may be using it.",
};

export class Camera {
  #stream = null;

  get running() {
    return this.#stream !== null;
  }

  /** Ask for the camera. Throws an Error whose message is for the reader. */
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("Browsers give the camera only to pages that come over https or from this machine.");
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" }, audio: false });
      this.stop(); // where two were asked for at once
      this.#stream = stream;
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The camera does not start: ${error.message}`);
    }
  }

  /** Give each frame to a function, until `stop`. */
  async run(take) {
    const stream = this.#stream;
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
    stream.getVideoTracks()[0].addEventListener("ended", () => this.stop());
    await video.play();
    while (this.#stream === stream) {
      const bitmap = await createImageBitmap(video);
      await take(bitmap);
      bitmap.close();
      await new Promise(requestAnimationFrame);
    }
  }

  /** Switch the camera off. */
  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }
}
