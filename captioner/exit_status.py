"""What a command tells, and the status that it ends with, when something goes wrong: never a traceback."""

import argparse
import os
import sys
from collections.abc import Callable

import torch

from .errors import CaptionerError, CheckpointError, OutputError, SettingError


def exit_status(parser: argparse.ArgumentParser, work: Callable[[], int], kept: str, failed: int = 2) -> int:
    """Do a command's work, and tell errors in words.

    Args:
        parser: of the command line, which ends the program with status 2 if a setting makes no sense.
        work: returns the exit status if nothing goes wrong.
        kept: what has become of the work so far, as a sentence; it stands after an error of the system.
        failed: the status of errors other than of the model and the output, whose status is 2.

    Returns:
        The exit status; 130 if the work was interrupted.
    """
    try:
        return work()
    except SettingError as error:
        parser.error(str(error))
    except CaptionerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, CheckpointError | OutputError) else failed
    except BrokenPipeError:
        # The reader has gone; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {error}. {kept}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped; {kept[0].lower()}{kept[1:]}", file=sys.stderr)
        return 130
    except torch.OutOfMemoryError:
        print("error: the device's memory is full. Try a smaller --batch-size, or --device cpu.", file=sys.stderr)
        return 1
