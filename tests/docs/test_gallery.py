"""The model gallery: a card for every network, and figures of the network, of hub_configs or of a bench file alone."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
import yaml
from doc_tools import demo_browser
from doc_tools.gallery_facts import facts

import ferzoo
from ferzoo.weights.configs import checkpoints

ROOT = Path(__file__).parents[2]
TABLES = ("gallery-plot", "gallery-table", "gallery-cards")


@pytest.fixture(scope="module")
def quick() -> Iterator[pytest.MonkeyPatch]:
    """Networks of few blocks, which are measured anew."""
    from ferzoo.models import lfn, mfn

    facts.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for module in (lfn, mfn):
            patch.setattr(module, "STAGES", tuple((out, 1, *mixes) for out, _, *mixes in module.STAGES))
        yield patch
    facts.cache_clear()


@pytest.fixture(scope="module")
def unmeasured(hooks: Any, quick: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The three parts of the page without any bench file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("doc_tools.gallery_latency.RESULTS", tmp_path_factory.mktemp("none"))
        return {name: hooks.table(name) for name in TABLES}


@pytest.fixture(scope="module")
def measured(hooks: Any, quick: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same with a bench file of two images a batch."""
    folder = tmp_path_factory.mktemp("bench")
    rows = [
        row("lanmsff", "onnx", own_size("lanmsff"), 6.0),
        row("lfnsb", "onnx", own_size("lfnsb"), 9.0),
        row("lfnsb_fast", "onnx", own_size("lfnsb_fast"), 3.0),
        row("lanmsff", "eager", own_size("lanmsff"), 14.5),
        row("lfnsb_fast", "onnx", [3, 112, 112], 11.25),
        row("lfnsb_fast", "openvino-bf16", own_size("lfnsb_fast"), 2.25),
        {**row("ddamfn", "onnx", [3, 112, 112], 30.5), "trained": False},
        {**row("lfn", "onnx", [3, 112, 112], None), "error": "It failed."},
        row("resnet18", "onnx", [3, 224, 224], 40.0),
    ]
    result = {"rows": rows, "batch": 2, "threads": 1, "machine": {"processor": "Some CPU"}}
    (folder / "bench.json").write_text(json.dumps(result), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("doc_tools.gallery_latency.RESULTS", folder)
        return {name: hooks.table(name) for name in TABLES}


def of_card(name: str) -> Any:
    """The network that a card shows: that of the weights which its name means, at their size, or its paper's."""
    known = f"{name}.ferplus" in checkpoints()
    return ferzoo.create_model(f"{name}.ferplus" if known else name)


def own_size(name: str) -> list[int]:
    return checkpoints()[f"{name}.ferplus"].cfg["input_size"]


def row(model: str, runtime: str, size: list[int], p50: float | None) -> dict[str, Any]:
    return {"model": model, "runtime": runtime, "input": size, "trained": True, "p50_ms": p50, "error": ""}


def card(page: dict[str, str], name: str) -> str:
    [found] = re.findall(rf"^### {name} {{ #{name} }}$.*?^</article>$", page["gallery-cards"], re.M | re.S)
    return found


def xml(text: str, tag: str, of: str = "") -> list[ElementTree.Element]:
    return [ElementTree.fromstring(part) for part in re.findall(rf"<{tag}\b[^>]*{of}.*?</{tag}>", text, re.S)]


def table(page: dict[str, str]) -> dict[str, list[str]]:
    """What the rows of the table are sorted by, by network and tag."""
    [root] = xml(page["gallery-table"], "table")
    lines = [[cell.get("data-value", "") for cell in line] for line in root.iterfind("tbody/tr")]
    return {f"{line[0]}.{line[1]}": line for line in lines}


@pytest.mark.parametrize("name", ferzoo.list_models())
def test_every_network_has_a_card_with_its_true_count(unmeasured: dict[str, str], name: str) -> None:
    model = of_card(name)
    count = sum(p.numel() for p in model.parameters())
    own = card(unmeasured, name)
    assert f"<dd>{count:,} <small>with {model.num_classes} classes</small></dd>" in own
    assert "<dd>not measured</dd>" in own and "<dd>Apache-2.0</dd>" in own
    mine = [c for c in checkpoints().values() if c.architecture == name]
    assert own.count("pretrained=True") == len(mine)
    for c in mine:
        assert f'ferzoo.create_model("{c.name}", pretrained=True)' in own and escape(c.license) in own
    assert bool(mine) != (f'ferzoo.create_model("{name}")  # there are no trained weights yet' in own)
    assert {key.partition(".")[0] for key in table(unmeasured)} == set(ferzoo.list_models())


@pytest.mark.parametrize("name", ["dacl", "lanmsff", "lfnsb_fast"])
def test_lines_of_a_card_run(unmeasured: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```$", card(unmeasured, name), re.M | re.S)
    if "FERZOO_WEIGHTS" in code:
        folder = ROOT / "hub_configs" / "weights"
        if not (folder / f"{name}.ferplus.safetensors").is_file():
            pytest.skip("the large weights are in a checkout alone")
        monkeypatch.setenv("FERZOO_WEIGHTS", str(folder))
    assert name != "lfnsb_fast" or "FERZOO_WEIGHTS" in code
    exec(compile(code, "card", "exec"), {})


def test_figures_are_those_of_the_profile_and_of_hub_configs(unmeasured: dict[str, str]) -> None:
    profile = ferzoo.profile(of_card("lanmsff"), latency=False)
    line = table(unmeasured)["lanmsff.ferplus"]
    assert line[3:6] == [str(profile.parameters), str(profile.flops), ""]
    assert f"{profile.flops / 1e6:.1f} M" in card(unmeasured, "lanmsff")
    for path in (ROOT / "hub_configs").glob("*.yaml"):
        facts = yaml.safe_load(path.read_text(encoding="utf-8"))
        validation, flip = facts["metrics"]["validation"], facts["metrics"]["validation_flip"]
        line = table(unmeasured)[path.stem]
        assert [float(value) for value in line[6:8]] == [validation["accuracy"], validation["unseen"]["accuracy"]]
        own = card(unmeasured, facts["architecture"])
        for found in (validation, flip):
            assert f"| {found['accuracy']:.2f} | {found['unseen']['accuracy']:.2f} |" in own


def test_confusion_matrix_is_that_of_the_default_checkpoint(unmeasured: dict[str, str]) -> None:
    facts = yaml.safe_load((ROOT / "hub_configs" / "lanmsff.ferplus.yaml").read_text(encoding="utf-8"))
    stated = facts["metrics"]["validation"]
    [root] = xml(card(unmeasured, "lanmsff"), "table", "fz-confusion")
    lines = [[cell.text for cell in line.iterfind("td")] for line in root.iterfind("tbody/tr")]
    assert [[int(text or "") for text in line[:-1]] for line in lines] == stated["confusion"]
    assert [float(line[-1] or "") for line in lines] == pytest.approx(stated["recall"], abs=0.051)
    assert [th.text for th in root.iterfind("tbody/tr/th")] == stated["classes"]
    cell = root.find("tbody/tr/td[2]")
    assert cell is not None
    count, total = stated["confusion"][0][1], sum(stated["confusion"][0])
    assert cell.attrib == {"style": f"--share: {count / total:.3f}", "title": f"{count} of {total} neutral: happiness"}


def test_diagrams_show_the_maps_that_the_network_makes(unmeasured: dict[str, str]) -> None:
    model = of_card("lfnsb").eval()
    shapes: dict[str, tuple[int, ...]] = {}
    for info in model.feature_info:
        module = model.get_submodule(info["module"])
        module.register_forward_hook(lambda m, x, y, key=info["module"]: shapes.update({key: tuple(y.shape[1:])}))
    with torch.inference_mode():
        model(torch.zeros(1, *own_size("lfnsb")))
    pictures = xml(card(unmeasured, "lfnsb"), "svg")
    said = [[text.text for text in picture.iterfind("text")] for picture in pictures]
    assert said[0] == ["input", "×".join(map(str, own_size("lfnsb")))] and said[-2:] == [
        ["vector", "256"],
        ["classes", "8"],
    ]
    assert [line[:2] for line in said[1:-3]] == [[key, "×".join(map(str, v))] for key, v in shapes.items()]
    # Stage 1 has an eighth of the input's side, and half of the widest map's channels.
    blocks = [{k: float(v) for k, v in rect.attrib.items()} for p in pictures for rect in p.iterfind("rect")]
    assert blocks[3]["height"] == pytest.approx(blocks[0]["height"] / 8, abs=0.06)
    assert blocks[3]["width"] == pytest.approx(blocks[4]["width"] / 2, abs=0.06)


def test_every_picture_and_table_is_well_formed(unmeasured: dict[str, str], measured: dict[str, str]) -> None:
    for page in (unmeasured, measured):
        for text in page.values():
            assert len(xml(text, "dl")) == text.count("<dl") and len(xml(text, "table")) == text.count("<table")
        assert len(xml(page["gallery-cards"], "svg")) > 5 * len(ferzoo.list_models())
        [root] = xml(page["gallery-plot"].partition('<div class="fz-legend">')[0], "svg")
        assert all(point.get("tabindex") == "0" for point in root.iterfind("g[@class='fz-point']"))


def points(page: dict[str, str]) -> dict[str, tuple[float, float, str]]:
    """Place and label of every point of the plot."""
    [root] = xml(page["gallery-plot"].partition('<div class="fz-legend">')[0], "svg")
    found = {}
    for point in root.iterfind("g[@class='fz-point']"):
        x, y = re.findall(r"[\d.]+", point[0].get("transform", ""))
        label = point.get("aria-label", "")
        found[label.splitlines()[0]] = (float(x), float(y), label)
    return found


def test_without_a_bench_file_the_plot_is_against_flops(unmeasured: dict[str, str]) -> None:
    found = points(unmeasured)
    assert set(found) == set(checkpoints())
    assert "FLOPs of one image, millions" in unmeasured["gallery-plot"]
    assert "No run of `ferzoo bench` is on record yet" in unmeasured["gallery-plot"]
    assert "latency: not measured" in found["lfnsb.ferplus"][2]


def test_latencies_are_those_of_the_file(measured: dict[str, str]) -> None:
    lines = table(measured)
    # Milliseconds of one image, where two make a batch; rows at another size, of another runtime or failed are none.
    times = {key: line[5] for key, line in lines.items() if line[5]}
    assert times == {"lanmsff.ferplus": "3.0", "lfnsb.ferplus": "4.5", "lfnsb_fast.ferplus": "1.5", "ddamfn.": "15.25"}
    times = "3.00 ms <small>onnx</small><br/>7.25 ms <small>eager</small><br/>"
    assert f"<dd>{times}<small>batch of 2, 1 CPU thread, Some CPU</small></dd>" in card(measured, "lanmsff")
    assert "1.12 ms <small>openvino-bf16" in card(measured, "lfnsb_fast")
    assert "15.25 ms <small>onnx, untrained</small>" in card(measured, "ddamfn")
    assert "<dd>not measured</dd>" in card(measured, "lfn")


def test_the_plot_is_linear_in_latency_and_accuracy(measured: dict[str, str]) -> None:
    found = points(measured)
    assert set(found) == {"lanmsff.ferplus", "lfnsb.ferplus", "lfnsb_fast.ferplus"}
    names = [f"{name}.ferplus" for name in ("lfnsb_fast", "lanmsff", "lfnsb")]
    (x1, y1, _), (x2, y2, label), (x3, y3, _) = (found[name] for name in names)
    assert (x2 - x1) / (x3 - x1) == pytest.approx((3 - 1.5) / (4.5 - 1.5), abs=2e-3)
    one, two, three = (checkpoints()[name].metrics["validation"]["accuracy"] for name in names)
    assert (y2 - y1) / (y3 - y1) == pytest.approx((two - one) / (three - one), abs=2e-2)
    assert (y1 - y2) * (two - one) > 0  # up is better
    assert f"{two:.2f} % on FERPlus, validation\nlatency: 3.00 ms\n356,451 parameters" in label
    assert "latency of one image, ms" in measured["gallery-plot"]


def test_a_plugins_network_gets_a_card(
    hooks: Any, unmeasured: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example plugin, with the metadata that pip would write."""
    facts = tmp_path / "ferzoo_example-0.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: ferzoo-example\nVersion: 0.1\nLicense: MIT\n")
    (facts / "entry_points.txt").write_text("[ferzoo.models]\nferzoo_example_net = ferzoo_example.net\n")
    monkeypatch.syspath_prepend(ROOT / "tests" / "plugins" / "example")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("ferzoo.list_models", lambda: ["ferzoo_example_net"])
    own = card({"gallery-cards": hooks.table("gallery-cards")}, "ferzoo_example_net")
    assert "A small network of separable convolutions for 64 px faces. No paper describes it." in own
    assert "<dd>MIT</dd>" in own and "<dd>no weights yet</dd>" in own and "models.md" not in own
    assert [p[1].get("width") for p in xml(own, "svg")][1] is not None
    assert "16×32×32" in own


DRIVER = """
const [table] = document.getElementsByTagName("table"), said = [];
const order = () => Array.from(table.tBodies[0].rows, r => r.cells[0].textContent + "." + r.cells[1].textContent);
for (const column of [5, 5, 3]) {
  const header = table.tHead.rows[0].cells[column];
  header.querySelector("button").click();
  said.push([header.getAttribute("aria-sort"), order(), table.querySelectorAll("[aria-sort]").length]);
}
document.querySelector(".fz-point").focus();
said.push(document.querySelector(".fz-tip").textContent);
document.title = JSON.stringify(said);
"""


def test_the_script_sorts_by_value_and_shows_what_a_point_says(measured: dict[str, str], tmp_path: Path) -> None:
    browser = demo_browser.chromium()
    if not browser:
        pytest.skip("there is no Chromium to run the script in")
    script = (ROOT / "docs" / "javascripts" / "gallery.js").read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    body = measured["gallery-plot"] + measured["gallery-table"] + f"<script>{script}</script><script>"
    head = "<!doctype html><meta charset=utf-8><body>"
    driver = f"document.addEventListener('DOMContentLoaded', () => setTimeout(() => {{{DRIVER}}}))"
    page.write_text(f"{head}{body}{driver}</script>", encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    up, down, parameters, tip = json.loads(re.findall(r"<title>(.*?)</title>", done.stdout, re.S)[-1])
    lines = table(measured)
    names = {key: key if not key.endswith(".") else f"{key}none yet" for key in lines}
    timed = [names[key] for key in sorted((k for k in lines if lines[k][5]), key=lambda k: float(lines[k][5]))]
    assert up[0] == "ascending" and up[1][:4] == timed and up[2] == 1
    assert down[0] == "descending" and down[1][:4] == timed[::-1]  # what was not measured stays last
    assert parameters[1] == [names[key] for key in sorted(lines, key=lambda k: int(lines[k][3]))]
    assert tip == next(iter(points(measured).values()))[2]
