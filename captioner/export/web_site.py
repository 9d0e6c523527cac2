"""A page that needs no server: the model, onnxruntime-web, the viewer and the page around it as a folder of files."""

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import captioner

from ..certainty import UNSURE
from ..config import SearchConfig
from ..errors import OutputError, SettingError
from ..files import replacing_folder
from ..imports import import_onnx
from ..overlay import COLOURS
from ..viewer import FILES, FOLDER, MOST_AT_ONCE
from ..viewer.about import WEAK, about_model
from ..viewer.examples import EXAMPLES
from ..viewer.examples import FOLDER as EXAMPLES_FOLDER
from .onnx_folder import MANIFEST, README, read_graphs, read_manifest
from .onnx_writer import CARD, export_onnx
from .target import check_replaceable
from .web_icons import SIZES, draw_icon
from .web_model import LIST, model_list
from .web_runtime import ADDRESS, CDN, PACKAGE, SEALS, find_runtime, sealed_builds

FORMAT = "captioner-web"
SITE = "site.json"
SERVICE_WORKER = "service-worker.js"
TEMPLATES = Path(__file__).parent / "web"
# What the model works with; it is kept in browsers apart from the page, which changes more often.
HEAVY = ("model", "runtime")
# Visitors never ask for these.
ASIDE = ("README.md", ".nojekyll", SERVICE_WORKER)
PACKED = ".packed"


def export_site(
    folder: Path,
    runtime: Path | None = None,
    checkpoint: str | os.PathLike | None = None,
    precision: str = "fp16",
    card: str = "",
    calibration: str = "",
    tell: Callable[[str], object] = len,
) -> None:
    """Write a static site that captions photographs in its visitors' browsers.

    Args:
        folder: to write; an export that is there is replaced.
        runtime: an unpacked npm package onnxruntime-web, of which the site gets a copy; without it, browsers load that
            from a public server, and check it.
        checkpoint: the model's file, or a folder of it in ONNX; the bundled one if there is none.
        precision: in which weights are stored, "fp16" or "fp32".
        card: a text about the model, which goes with its graphs; made from what the checkpoint says if there is none.
        calibration: a folder of photographs to learn ranges from, for an encoder in int8; none for float32.
        tell: is told of each step.

    Raises:
        CheckpointError: if the checkpoint cannot be used.
        OutputError: if the folder holds other things, or cannot be written.
        SettingError: if a package is missing, or the runtime is not the one that the page was tested with.
    """
    import_onnx()
    check_target(folder)
    copied = find_runtime(runtime) if runtime else None
    try:
        with replacing_folder(folder) as room:
            if checkpoint and Path(checkpoint).is_dir():
                if card or calibration:
                    raise SettingError(f"{checkpoint} is in ONNX already, so --card and --calibration come too late.")
                copy_model(Path(checkpoint), room / "model")
            else:
                export_onnx(room / "model", checkpoint, precision, card, calibration, tell)
                (room / "model" / README).unlink()  # how to use it without a page
            add_runtime(room, copied)
            add_page(room, not checkpoint, copied is not None)
            seal_site(room, facts(room, not checkpoint), policy(copied is not None))
            check_target(folder)  # again, since it took a while
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error
    site = "a whole site" if runtime else f"a site whose visitors load {PACKAGE} from {CDN}"
    tell(f"{folder} is {site}, and its README.md says how to publish it. Try: python -m http.server -d {folder}")


def copy_model(exported: Path, target: Path) -> None:
    """Copy a model in ONNX.

    Raises:
        CheckpointError: if the folder holds none, or it is damaged.
    """
    manifest = read_manifest(exported)
    target.mkdir()
    for name, content in read_graphs(exported, manifest).items():
        (target / f"{name}.onnx").write_bytes(content)
    shutil.copyfile(exported / MANIFEST, target / MANIFEST)


def check_target(folder: Path) -> None:
    """See whether a site may be written: there is nothing yet, or an empty folder, or a site of ours and nothing else.

    Raises:
        OutputError: if not.
    """
    check_replaceable(folder, "write the site to", foreign_files)


def foreign_files(folder: Path) -> set[str]:
    """What lies in a folder and in those within it that no export of a site has written.

    Raises:
        OSError: if one cannot be read.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return found - written_files(folder)


def written_files(folder: Path) -> set[str]:
    """What an export has written to a folder, by its own account; nothing if it is none."""
    try:
        values = json.loads((folder / SITE).read_text(encoding="utf-8"))
        return set(values["files"]) if values["format"] == FORMAT else set()
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return set()


def add_runtime(room: Path, copied: Path | None) -> None:
    """Put the runtime beside the model, the list of both into its folder, and pack what is large."""
    model = room / "model"
    values = model_list(model, sealed_builds(), "../runtime/" if copied else ADDRESS)
    pack(model, values["files"])
    if copied:
        runtime = room / "runtime"
        runtime.mkdir()
        for name in SEALS:
            shutil.copyfile(copied / name, runtime / name)
        for build in values["runtime"]["builds"].values():
            pack(runtime, build)
    write_json(model / LIST, values)


def pack(folder: Path, seals: dict[str, dict[str, Any]]) -> None:
    """Compress graphs and binaries, which most hosts do not, and note their size in the seals."""
    for name, sealed in seals.items():
        if name.endswith((".onnx", ".wasm")):
            path = folder / name
            content = gzip.compress(path.read_bytes(), mtime=0)
            (folder / f"{name}{PACKED}").write_bytes(content)
            path.unlink()
            sealed["packed"] = len(content)


def add_page(room: Path, bundled: bool, own_runtime: bool) -> None:
    """Write everything but the model, its runtime, and what speaks of the other files."""
    for name in ("page", "core"):
        shutil.copytree(TEMPLATES / name, room / name)
    for name in ("page.js", "page.css", "manifest.webmanifest"):
        shutil.copyfile(TEMPLATES / name, room / name)
    (room / "viewer").mkdir()
    for name in FILES:
        shutil.copyfile(FOLDER / name, room / "viewer" / name)
    (room / "examples").mkdir()
    for path in [*(example.path for example in EXAMPLES), EXAMPLES_FOLDER / "CREDITS.md"]:
        shutil.copyfile(path, room / "examples" / path.name)
    (room / "icons").mkdir()
    shutil.copyfile(TEMPLATES / "icon.svg", room / "icons" / "icon.svg")
    for size in SIZES:
        draw_icon(size).save(room / "icons" / f"icon-{size}.png")
    if bundled and CARD.is_file():
        shutil.copyfile(CARD, room / CARD.name)
    (room / ".nojekyll").touch()  # GitHub Pages would look for things to build
    index = Template((TEMPLATES / "index.html").read_text(encoding="utf-8"))
    write(room / "index.html", index.substitute(policy=policy(own_runtime)))
    write(room / "README.md", (TEMPLATES / "README.md").read_text(encoding="utf-8"))


def policy(own_runtime: bool) -> str:
    """What the page may load (Content Security Policy): its own files, and the runtime where that is elsewhere."""
    elsewhere = "" if own_runtime else f" {CDN}"
    # What was loaded from elsewhere and checked is run from the memory where it then is.
    checked = "" if own_runtime else " blob:"
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval'{checked}",
            f"worker-src 'self'{checked}",
            f"connect-src 'self'{elsewhere}",
            "style-src 'self'",
            "img-src 'self' blob:",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
        ]
    )


def facts(room: Path, bundled: bool) -> dict[str, Any]:
    """What the page must know of Python's side: the viewer's colours, defaults, limits, and texts."""
    manifest = read_manifest(room / "model")
    paragraphs, weaknesses = about_model(
        manifest.config.encoder.name, len(manifest.vocabulary), manifest.origin, manifest.scores, bundled
    )
    return {
        "format": FORMAT,
        "captioner": captioner.__version__,
        "most": MOST_AT_ONCE,
        "unsure": UNSURE,
        "palette": COLOURS.tolist(),
        "defaults": {camel_case(name): value for name, value in asdict(SearchConfig()).items()},
        "examples": [
            {
                "file": f"examples/{example.path.name}",
                "label": example.name.capitalize(),
                "author": example.author,
                "licence": example.licence,
                "address": example.address,
                "wrong": example.wrong and bundled,
            }
            for example in EXAMPLES
        ],
        "about": {
            "paragraphs": paragraphs,
            "weak": WEAK,
            "weaknesses": weaknesses,
            "card": CARD.name if (room / CARD.name).exists() else "",
        },
    }


def camel_case(name: str) -> str:
    """A name as JavaScript writes it: beam_size becomes beamSize."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def seal_site(room: Path, known: dict[str, Any], rules: str) -> None:
    """Write site.json, which tells what is known and what was written, and the service worker, which keeps all files.

    Args:
        room: with all other files.
        known: from `facts`.
        rules: the site's policy.
    """
    content = {SITE, *(path.relative_to(room).as_posix() for path in room.rglob("*") if path.is_file())}
    write_json(room / SITE, known | {"files": sorted(content | {SERVICE_WORKER})})
    elsewhere = [] if (room / "runtime").exists() else [f"{ADDRESS}{name}" for name in SEALS]
    heavy = {name for name in content if name.startswith(HEAVY) and name != f"model/{LIST}"}
    light = content - heavy - set(ASIDE)
    kept = {
        "page": digest(room, light, rules),
        "model": digest(room, heavy, "".join(elsewhere)),
        "pageFiles": sorted(light),
        "modelFiles": [*sorted(heavy), *elsewhere],
        "policy": rules,
    }
    script = (TEMPLATES / SERVICE_WORKER).read_text(encoding="utf-8")
    # The digest of the script itself is the browser's business: it compares it byte by byte.
    write(room / SERVICE_WORKER, f"const CONTENT = {json.dumps(kept, indent=2)}\n\n{script}")


def digest(room: Path, names: Iterable[str], more: str) -> str:
    """The first digits of a digest of files and their names."""
    whole = hashlib.sha256(more.encode())
    for name in sorted(names):
        whole.update(name.encode() + hashlib.sha256((room / name).read_bytes()).digest())
    return whole.hexdigest()[:16]


def write(path: Path, text: str) -> None:
    """Write a text as it is on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values."""
    write(path, json.dumps(values, ensure_ascii=False, indent=1) + "\n")
