"""python -m captioner export: the model as files that other programs run."""

import argparse
import sys
from pathlib import Path

from ..errors import CaptionerError, SettingError
from .onnx_folder import PRECISIONS

DESCRIPTION = """Write the model as ONNX, which onnxruntime and others run without Python or torch.

DIR gets the graphs, captioner.json with vocabulary and configuration, and a README with an example. An export that is
there already is replaced; a folder with anything else is left alone. `--checkpoint DIR` and Captioner.load("DIR") take
such a folder as a model. It needs: pip install onnx onnxscript onnxruntime"""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m captioner export",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument("--format", choices=("onnx",), required=True, help="of the files")
    parser.add_argument("--checkpoint", metavar="FILE", help="model to export (default: the bundled one)")
    precision = "how weights are stored; fp16 halves the files, and is as exact as the checkpoint (fp32)"
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help=precision)
    card = "a text to keep as the model's card in the graphs (default: MODEL_CARD.md, or what the checkpoint says)"
    parser.add_argument("--card", type=Path, metavar="FILE", help=card)
    int8 = "let the encoder compute in whole numbers of eight bits: smaller, faster, a little less exact"
    parser.add_argument("--int8-encoder", action="store_true", help=int8)
    calibration = "a folder or archive of photographs from which --int8-encoder learns how large the numbers get"
    parser.add_argument("--calibration", metavar="PHOTOS", default="", help=calibration)
    return parser


def main(argv: list[str]) -> int:
    """The command; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.int8_encoder != bool(arguments.calibration):
        parser.error("--int8-encoder and --calibration need one another")
    try:
        # Only now, since it imports torch's exporter.
        from .onnx_writer import export_onnx, read_card

        card = read_card(arguments.card) if arguments.card else ""
        export_onnx(
            arguments.folder, arguments.checkpoint, arguments.precision, card, arguments.calibration, tell
        )  # fmt: skip
    except SettingError as error:
        parser.error(str(error))
    except CaptionerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    return 0


def tell(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr)
