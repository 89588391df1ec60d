"""A small service: POST the picture of a face, get the scores of its expressions as JSON. No torch, timm or ferzoo.

ferzoo export lanmsff lanmsff.onnx --preprocess --softmax
python serve.py lanmsff.onnx 8000
"""

from __future__ import annotations

import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

LARGEST = 10_000_000  # bytes of an upload
FORMATS = ("JPEG", "PNG", "WEBP")


class NoPictureError(ValueError):
    """What was sent is no picture that the network takes."""


def decode(data: bytes) -> np.ndarray:
    """RGB (H, W, 3), uint8, of an encoded picture."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image = ImageOps.exif_transpose(image)  # phones state how they were held
    except Exception as error:  # a damaged file makes Pillow raise nearly any kind
        raise NoPictureError("this one cannot be read") from error
    if image.mode[0] in "IF":  # Pillow would clip them
        raise NoPictureError("the pixels of this one have more")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


class Network:
    """An exported network with its preprocessing inside."""

    def __init__(self, path: str, threads: int = 1) -> None:
        """Open the file; `threads` of ONNX Runtime, one where requests run side by side."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        facts = json.loads(self.session.get_modelmeta().custom_metadata_map["ferzoo"])
        self.labels = facts["cfg"]["label_names"]

    def __call__(self, data: bytes) -> dict[str, float]:
        """Scores by name, of the crop of one face as an encoded image."""
        picture = decode(data)
        [scores] = self.session.run(None, {self.session.get_inputs()[0].name: picture[None]})[0]
        return {label: float(score) for label, score in zip(self.labels, scores, strict=True)}


class Handler(BaseHTTPRequestHandler):
    """Answers POST with scores, and a picture that cannot be read with 400."""

    network: Network

    def do_POST(self) -> None:
        """Read the picture and answer."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 < length <= LARGEST:
            wanted = f"A picture of 1 to {LARGEST} bytes is wanted, and their number as Content-Length."
            return self.answer(400 if length < 0 else 413, {"error": wanted})
        try:
            self.answer(200, self.network(self.rfile.read(length)))
        except NoPictureError as error:
            self.answer(400, {"error": f"Send a picture of 8 bits a channel as JPEG, PNG or WebP: {error}."})

    def answer(self, status: int, content: dict) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(path: str, port: int) -> ThreadingHTTPServer:
    """A server on this machine's loopback address; port 0 takes a free one."""
    handler = type("NetworkHandler", (Handler,), {"network": Network(path)})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2])).serve_forever()
