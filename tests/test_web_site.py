"""The folder of a page that needs no server: what is written, what is refused, and that both pages say the same."""

import ast
import gzip
import json
import re
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import yaml

from captioner.errors import CheckpointError, OutputError, SettingError
from captioner.export import web_site
from captioner.export.command import main
from captioner.export.onnx_folder import SIGNATURES, Manifest, write_manifest
from captioner.export.web_model import seal
from captioner.export.web_runtime import SEALS, VERSION, find_runtime
from captioner.export.web_site import check_target, export_site
from captioner.viewer import FILES, FOLDER
from captioner.vocabulary import Vocabulary

from .browser import ROOT
from .drawing import WORDS, tiny_model

FLOAT = onnx.TensorProto.FLOAT
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]")
WEB = ROOT / "captioner" / "export" / "web"


@pytest.fixture(scope="module")
def tiny_export(tmp_path_factory) -> Path:
    """What looks like a model in ONNX: its graphs hand on what they are given."""
    folder = tmp_path_factory.mktemp("exported")
    manifest = Manifest(tiny_model().config, Vocabulary(WORDS))
    for name in manifest.graph_names():
        signature = SIGNATURES[name]
        inputs = [onnx.helper.make_tensor_value_info(one, FLOAT, None) for one in signature.inputs]
        outputs = [onnx.helper.make_tensor_value_info(one, FLOAT, None) for one in signature.outputs]
        nodes = [onnx.helper.make_node("Identity", [signature.inputs[0]], [one]) for one in signature.outputs]
        if name == "encoder":
            inputs = [onnx.helper.make_tensor_value_info("photos", onnx.TensorProto.UINT8, None)]
            nodes = [onnx.helper.make_node("Cast", ["photos"], ["grid"], to=FLOAT)]
        graph = onnx.helper.make_graph(nodes, name, inputs, outputs)
        onnx.save(
            onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10),
            folder / f"{name}.onnx",
        )
    write_manifest(manifest, folder)
    return folder


@pytest.fixture(scope="module")
def runtime(tmp_path_factory) -> Path:
    """What looks like the runtime's package, but for what is in its files."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "dist").mkdir()
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": VERSION}))
    for name in SEALS:
        (folder / "dist" / name).write_text(name * 100)
    return folder


@pytest.fixture
def sealed(runtime, monkeypatch) -> Path:
    """That package, its seals in the place of the real ones."""
    for name in SEALS:
        monkeypatch.setitem(SEALS, name, seal(runtime / "dist" / name))
    return runtime


def listed(site: Path) -> dict:
    """model.json of a site."""
    return json.loads((site / "model" / "model.json").read_text())


def content_of(site: Path) -> dict:
    """What the service worker keeps."""
    script = (site / "service-worker.js").read_text()
    return json.JSONDecoder().raw_decode(script.removeprefix("const CONTENT = "))[0]


@pytest.fixture
def site(tiny_export, sealed, tmp_path) -> Path:
    export_site(tmp_path / "site", sealed, tiny_export)
    return tmp_path / "site"


def test_every_file_is_there_and_known_to_the_service_worker(site):
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    content = content_of(site)
    kept = {*content["pageFiles"], *content["modelFiles"]}
    assert files - kept == {"README.md", ".nojekyll", "service-worker.js"}
    assert kept <= files
    for name in FILES:  # the very files that the Streamlit page shows
        assert (site / "viewer" / name).read_bytes() == (FOLDER / name).read_bytes()
    about = listed(site)
    for place, seals in (
        ("model", about["files"]),
        *(("runtime", build) for build in about["runtime"]["builds"].values()),
    ):
        for name, sealed in seals.items():
            if "packed" in sealed:
                packed = (site / place / f"{name}.packed").read_bytes()
                assert len(packed) == sealed["packed"]
                assert len(gzip.decompress(packed)) == sealed["bytes"]
            else:
                assert seal(site / place / name) == sealed


def test_what_pages_import_is_there(site):
    scripts = [*site.glob("*.js"), *site.glob("page/*.js"), *site.glob("core/*.js"), *site.glob("viewer/*.js")]
    imported = {
        path.parent / name
        for path in scripts
        for name in re.findall(r'(?:from|import\() ?"(\.[^"]+)"|^import "(\.[^"]+)"', path.read_text())
        for name in filter(None, name)
    }
    assert len(imported) > 15
    assert all(path.is_file() for path in imported)
    named = re.findall(r'(?:href|src)="([^"]+)"', (site / "index.html").read_text())
    assert all((site / name).is_file() for name in named)


def test_without_a_runtime_it_is_loaded_from_elsewhere_and_checked(tiny_export, tmp_path):
    told: list[str] = []
    export_site(tmp_path / "site", None, tiny_export, tell=told.append)
    assert "load onnxruntime-web from https://cdn.jsdelivr.net" in told[-1]
    about = listed(tmp_path / "site")["runtime"]
    assert about["folder"] == f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"
    assert {name: sealed for build in about["builds"].values() for name, sealed in build.items()} == SEALS
    content = content_of(tmp_path / "site")
    assert f"{about['folder']}ort-wasm-simd-threaded.wasm" in content["modelFiles"]
    index = (tmp_path / "site" / "index.html").read_text()
    assert "connect-src 'self' https://cdn.jsdelivr.net;" in index
    assert "blob:" in re.search("script-src[^;]+", index)[0]


def test_with_a_runtime_nothing_else_is_allowed(site):
    policy = re.search('Content-Security-Policy" content="([^"]+)"', (site / "index.html").read_text())[1]
    assert policy == content_of(site)["policy"]
    assert "http" not in policy
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy


def test_another_content_has_another_version(site, tiny_export, sealed, monkeypatch, tmp_path):
    templates = tmp_path / "templates"
    shutil.copytree(WEB, templates)
    (templates / "page.css").write_text("body { color: red }")
    before = content_of(site)
    export_site(site, sealed, tiny_export)
    assert content_of(site) == before
    monkeypatch.setattr(web_site, "TEMPLATES", templates)
    export_site(site, sealed, tiny_export)  # in the place of the old one
    assert content_of(site)["page"] != before["page"]
    assert content_of(site)["model"] == before["model"]  # which nobody need load again


def test_foreign_folders_are_refused(site, tmp_path):
    check_target(site)
    (site / "page" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"such as page/mine\.txt"):
        check_target(site)
    other = tmp_path / "other"
    other.mkdir()
    check_target(other)
    (other / "site.json").write_text('{"files": ["letter.txt"], "format": "other"}')
    with pytest.raises(OutputError, match=r"site\.json"):
        check_target(other)
    with pytest.raises(OutputError, match="is a file"):
        check_target(other / "site.json")


def test_a_wrong_runtime_is_refused_with_what_to_do(runtime, tmp_path):
    with pytest.raises(SettingError, match="no unpacked npm package") as told:
        find_runtime(tmp_path)
    assert f"npm pack onnxruntime-web@{VERSION}" in str(told.value)
    with pytest.raises(SettingError, match="is damaged"):
        find_runtime(runtime)
    about = tmp_path / "package.json"
    about.write_text('{"name": "onnxruntime-web", "version": "1.2.3"}')
    with pytest.raises(SettingError, match=f"1.2.3, and the page was tested with {re.escape(VERSION)}"):
        find_runtime(tmp_path)
    about.write_text('{"name": "left-pad", "version": "1.2.3"}')
    with pytest.raises(SettingError, match="left-pad"):
        find_runtime(tmp_path)
    about.write_text(json.dumps({"name": "onnxruntime-web", "version": VERSION}))
    with pytest.raises(SettingError, match="cannot be read"):
        find_runtime(tmp_path)


def test_a_failed_export_leaves_what_was_there(site, sealed, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*")}
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no model in ONNX"):
        export_site(site, sealed, tmp_path / "empty")
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*")} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_command(tiny_export, tmp_path, capsys):
    target = str(tmp_path / "site")
    assert main(["--format", "web", target, "--checkpoint", str(tiny_export)]) == 0
    assert "python -m http.server" in capsys.readouterr().err
    (tmp_path / "site" / "mine.txt").write_text("mine")
    assert main(["--format", "web", target, "--checkpoint", str(tiny_export)]) == 2
    assert "mine.txt" in capsys.readouterr().err
    for wrong in (
        ["--format", "onnx", target, "--runtime", "package"],
        ["--format", "web", str(tmp_path / "other"), "--runtime", target],
    ):
        with pytest.raises(SystemExit):
            main(wrong)
    assert "npm pack" in capsys.readouterr().err


def test_the_front_matter_is_that_of_a_static_space():
    _, front, text = (WEB / "README.md").read_text().split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["sdk"] == "static"
    assert len(values["short_description"]) <= 60  # more, Spaces do not take
    assert set(values["custom_headers"]) == {
        f"cross-origin-{kind}-policy" for kind in ("embedder", "opener", "resource")
    }
    assert "hf upload" in text


def test_both_pages_have_the_same_colours_and_words():
    themes = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    style = (WEB / "page.css").read_text()
    light, dark = style.split("prefers-color-scheme: dark")
    for colours, part in ((themes["light"], light), (themes["dark"], dark)):
        assert all(colour in part for colour in colours.values())
    html = squeezed((WEB / "index.html").read_text())
    for part in ("result", "settings", "about", "gallery", "downloads"):
        shown = html + squeezed("".join(path.read_text() for path in (WEB / "page").glob("*.js")))
        for text in texts_of(ROOT / "captioner" / "page" / f"{part}.py") - OTHERWISE:
            assert text in shown, part


# In two controls, said otherwise where nobody hovers, or no words for visitors.
OTHERWISE = {
    "Words, at least and at most",
    "Of the whole sentence, and of a word on average. The order also weighs length, and how well a sentence agrees "
    "with the others and suits this photograph above others: see the settings.",
    "Model card",
    "MODEL_CARD.md",
}


def texts_of(path: Path) -> set[str]:
    """The sentences and labels in a Python file, without docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    quoted = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    constants = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in quoted]
    return {node.value for node in constants if isinstance(node.value, str) and re.match("[A-Z].{6,}", node.value)}


def squeezed(text: str) -> str:
    """A text without what JavaScript and HTML put into its lines' ends."""
    return re.sub(r"\s+", " ", re.sub(r'" \+\s+"', "", text))


def test_settings_begin_as_the_search_does(site):
    facts = json.loads((site / "site.json").read_text())
    settings = SimpleNamespace(**facts["defaults"])
    assert (settings.method, settings.beamSize, settings.lengthPenalty, settings.topP) == ("beam", 8, 0.7, 0.9)
    core = (WEB / "core" / "settings.js").read_text()
    for name, value in facts["defaults"].items():
        written = f'"{value}"' if isinstance(value, str) else f"{value:g}"
        assert f"{name}: {written}," in core
    for name in re.findall(r'\["(\w+)",|^      "(\w+)",', (WEB / "page" / "settings.js").read_text(), re.M):
        assert "".join(name) in facts["defaults"]


@pytest.mark.parametrize("folder", ["page", "viewer", "export/web"])
def test_no_page_needs_a_font_of_emoji(folder):
    kinds = (".py", ".html", ".js", ".css")
    files = [path for path in (ROOT / "captioner" / folder).rglob("*") if path.suffix in kinds]
    assert len(files) > 3
    for path in files:
        assert not EMOJI.search(path.read_text(encoding="utf-8")), path.name
