"""python -m captioner export: the model as files that other programs run."""

import argparse
import sys
from pathlib import Path

from ..exit_status import exit_status
from .onnx_folder import PRECISIONS

DEFAULT_PRECISION = {"onnx": "fp32", "web": "fp16"}

DESCRIPTION = """Write the model for others to run, without Python or torch.

--format onnx: DIR gets the graphs, captioner.json with vocabulary and configuration, and a README with an example.
`--checkpoint DIR` and Captioner.load("DIR") take such a folder as a model.

--format web: DIR becomes a site of plain files, whose visitors caption photographs in their own browsers; its README
says how to publish it. With --runtime it is complete; without, browsers load onnxruntime-web from a public server.

An export that is there already is replaced; a folder with anything else is left alone. Both formats need: pip install
onnx onnxscript onnxruntime"""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m captioner export",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument("--format", choices=("onnx", "web"), required=True, help="of the files")
    parser.add_argument("--checkpoint", metavar="FILE", help="model to export (default: the bundled one)")
    precision = "how weights are stored; fp16 halves the files, and is as exact as the checkpoint (fp32; for web fp16)"
    parser.add_argument("--precision", choices=PRECISIONS, help=precision)
    card = "a text to keep as the model's card in the graphs (default: MODEL_CARD.md, or what the checkpoint says)"
    parser.add_argument("--card", type=Path, metavar="FILE", help=card)
    int8 = "let the encoder compute in whole numbers of eight bits: smaller, faster, a little less exact"
    parser.add_argument("--int8-encoder", action="store_true", help=int8)
    calibration = "a folder or archive of photographs from which --int8-encoder learns how large the numbers get"
    parser.add_argument("--calibration", metavar="PHOTOS", default="", help=calibration)
    runtime = "for web: the unpacked npm package onnxruntime-web, to be copied into the site"
    parser.add_argument("--runtime", type=Path, metavar="FOLDER", help=runtime)
    return parser


def main(argv: list[str]) -> int:
    """The command; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.int8_encoder != bool(arguments.calibration):
        parser.error("--int8-encoder and --calibration need one another")
    if arguments.runtime and arguments.format != "web":
        parser.error("--runtime is for --format web")
    return exit_status(parser, lambda: run(arguments), "Nothing was written.")


def run(arguments: argparse.Namespace) -> int:
    """Export the model; returns the exit status."""
    # Only now, since they import torch's exporter.
    from .onnx_writer import export_onnx, read_card
    from .web_site import export_site

    card = read_card(arguments.card) if arguments.card else ""
    precision = arguments.precision or DEFAULT_PRECISION[arguments.format]
    model = (arguments.checkpoint, precision, card, arguments.calibration, tell)
    if arguments.format == "web":
        export_site(arguments.folder, arguments.runtime, *model)
    else:
        export_onnx(arguments.folder, *model)
    return 0


def tell(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr)
