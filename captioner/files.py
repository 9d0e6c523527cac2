"""Writing files so that whoever reads them finds the old content or the new, never a part."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written to; it takes the place of `path` if nothing goes wrong.

    Raises:
        OSError: if it cannot be written (a full disk, say); what was at `path` stays.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)  # mkstemp's own is for secrets
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # gone already, unless something went wrong
