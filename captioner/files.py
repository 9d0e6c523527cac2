"""Writing files so that whoever reads them finds the old content or the new, never a part."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, to be written to; it takes the place of `path` if nothing goes wrong.

    The mode and, where that is allowed, the owner of what was there stay.

    Raises:
        OSError: if it cannot be written (a full disk, say); what was at `path` stays.
    """
    path = path.resolve() if path.is_symlink() else path  # a link shall go on being one
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".captioner-")  # short, since names have a limit
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            status = path.stat()
            with contextlib.suppress(OSError, AttributeError):  # only root may give files away; Windows knows no owners
                os.chown(temporary, status.st_uid, status.st_gid)
            temporary.chmod(status.st_mode)
        else:
            temporary.chmod(0o644)  # mkstemp's own is for secrets
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # gone already, unless something went wrong


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, to be filled; it takes the place of `path` if nothing goes wrong.

    Folders cannot be exchanged in one step everywhere: for an instant there is none. There is never half of one.

    Raises:
        OSError: if it cannot be written (a full disk, say); what was at `path` stays.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(dir=path.parent, prefix=".captioner-"))
    new, old = room / "new", room / "old"
    try:
        new.mkdir()
        yield new
        for file in filter(Path.is_file, new.rglob("*")):
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(room, ignore_errors=True)
