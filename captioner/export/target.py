"""Where an export may be written: to a new folder, or in place of one that holds nothing else."""

from collections.abc import Callable
from pathlib import Path

from ..errors import OutputError


def check_replaceable(folder: Path, purpose: str, find_foreign: Callable[[Path], set[str]]) -> None:
    """See whether a folder may be written, or replaced.

    Args:
        folder: which.
        purpose: what it is named for, in a message: "write the model to".
        find_foreign: gives the names of what is in it and no export has written.

    Raises:
        OutputError: if it is a file, cannot be read, or holds something foreign.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, not a folder. Please name a folder to {purpose}.")
    try:
        foreign = find_foreign(folder)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be read: {error.strerror or error}.") from error
    if foreign:
        raise OutputError(
            f"The folder {folder} has other files than those of an export, such as {min(foreign)}. They would be lost: "
            "please name a new folder."
        )
