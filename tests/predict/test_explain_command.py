"""`ferzoo explain` from outside: what is printed and drawn, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ferzoo
from ferzoo.cli.main import main
from ferzoo.errors import ImageError, MissingExtraError
from ferzoo.predict.explain_drawing import GAP, LINE, TILE, draw_explanations, overlay

pytest.importorskip("captum", reason="comes with the extra explain")
pytest.importorskip("cv2", reason="comes with the extra faces")


@pytest.fixture
def run(capsys, checkpoint, monkeypatch, tmp_path):
    """Run the command in an empty folder with the small checkpoint; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        model = () if "--model" in arguments else ("--model", checkpoint)
        try:
            code = main(["explain", *map(str, (*arguments, *model))])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_table_and_picture(run, astronaut, tmp_path) -> None:
    code, out, err = run(astronaut, "--class", "glad", "-o", "maps.png")
    head, row = out.splitlines()
    assert code == 0 and err == ""
    assert head.split() == ["face", "class", "score", "method", "layer", "map", "lowest", "highest"]
    assert " glad " in row and " gradcam " in row and " forward_features " in row and " 2x2 " in row
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.format == "PNG" and picture.width == GAP + 2 * (TILE + GAP) and picture.height > TILE
    assert [path.name for path in tmp_path.iterdir()] == ["maps.png"]


def test_json_has_the_faces_of_predict(run, astronaut, checkpoint, tmp_path) -> None:
    code, out, _ = run(astronaut, "--method", "coord_att", "--layer", "stages.?.0.att", "--json", "-o", tmp_path)
    result = json.loads(out)
    (face,) = ferzoo.Predictor(checkpoint)(astronaut)
    assert code == 0 and result["file"] == str(astronaut) and result["model"] == str(checkpoint)
    assert [one["layer"] for one in result["maps"]] == [f"stages.{i}.0.att" for i in range(3)]
    for one in result["maps"]:
        assert one["box"] == list(face.box) and one["label"] == one["predicted"] == face.label
        assert one["score"] == pytest.approx(face.score, abs=1e-6) and 0 < one["low"] <= one["high"] < 1
    assert Path(result["saved"]) == tmp_path / "astronaut.jpg" and (tmp_path / "astronaut.jpg").is_file()
    assert json.loads(run(astronaut, "--no-detect", "--json")[1])["maps"][0]["box"] == [0, 0, 512, 512]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--class", "galdd"), "Did you mean 'glad'"),
        (("--method", "coordatt"), "Did you mean 'coord_att'? LFN has gradcam, coord_att"),
        (("--method", "mass_att"), "LFN has gradcam, coord_att"),
        (("--layer", "stages.9"), "Unknown layer 'stages.9'. Did you mean 'stages."),
        (("--layer", "head"), "no map"),
        (("--model", "lfnbs"), "Did you mean 'lfnsb"),
        (("-o", "maps.gif"), "-o maps.gif: unknown suffix"),
        (("-o", "gone/maps.png"), "no folder gone"),
        (("--margin", "9"), "--margin"),
        (("--model", "lanmsff.onnx"), "neither gradients nor layers"),
    ],
)
def test_wrong_arguments_stop_it(run, astronaut, tmp_path, arguments: tuple[str, ...], reason: str) -> None:
    code, out, err = run(astronaut, *arguments)
    assert code == 2 and out == "" and reason in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_photographs_that_cannot_be_explained(run, astronaut, tmp_path) -> None:
    Image.new("RGB", (100, 100), "grey").save(tmp_path / "plain.png")
    before = (tmp_path / "plain.png").read_bytes()
    for arguments, reason in (
        (("plain.png", "-o", "maps.png"), "plain.png: no face was found"),
        (("gone.jpg",), "no such file"),
        ((tmp_path,), "is a folder; one image is wanted"),
        (("plain.png", "--no-detect", "-o", "plain.png"), "is an input and would be overwritten"),
    ):
        code, out, err = run(*arguments)
        assert code == 2 and out == "" and reason in err
    assert [path.name for path in tmp_path.iterdir()] == ["plain.png"]
    assert (tmp_path / "plain.png").read_bytes() == before


def test_the_drawing_shows_the_map(checkpoint, astronaut, monkeypatch) -> None:
    import matplotlib

    boxes = np.array([[170, 50, 290, 170], [100, 100, 300, 260]])
    predictor = ferzoo.Predictor(checkpoint, detector=lambda rgb: boxes)
    maps = ferzoo.explain(astronaut, predictor, "coord_att", layer="*")
    assert len(maps) % 2 == 0 and len(maps) > 2 * 4
    page: Any = draw_explanations(maps)
    lines = 2 * -(-len(maps) // 2 // 4)
    assert page.width == GAP + 5 * (TILE + GAP) and page.height > lines * (TILE + 2 * LINE)
    # The brightest place of the overlay over a plain face is the map's highest, and has viridis' yellow in it.
    plain = maps[-1].__class__(**{**vars(maps[-1]), "picture": np.full((64, 64, 3), 128, np.uint8)})
    colours = np.asarray(overlay(plain, 32)).astype(float)
    brightest = np.unravel_index(colours.sum(2).argmax(), (32, 32))
    assert plain.heat[brightest] == 1
    expected = 0.45 * 128 + 0.55 * np.array(matplotlib.colormaps["viridis"](1.0, bytes=True)[:3])
    assert np.abs(colours[brightest] - expected).max() <= 2
    flat = maps[-1].__class__(**{**vars(plain), "heat": np.zeros((32, 32), np.float32)})
    assert np.all(np.asarray(overlay(flat, 32)) == 128)
    with pytest.raises(ImageError, match="no face"):
        draw_explanations([])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"ferzoo\[explain\]"):
        draw_explanations(maps)
