"""Grids of a frozen encoder, kept so that each photograph is encoded once: in memory, or in a folder."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Protocol

import numpy
import torch
from torch import Tensor

from captioner.errors import DataError

from .dataset import MIRRORED

# A file being written is older than this only if its process is gone.
ABANDONED_SECONDS = 600
# What numpy's format adds to a grid.
HEADER_BYTES = 128


class GridCache(Protocol):
    """Grids (C, H, W) by a photograph's key, as float16 on the CPU; what does not fit is simply not kept.

    Values are rounded to float16 whether kept or not, so that a run does not depend on what was kept.
    """

    def __contains__(self, key: str) -> bool:
        """Whether a photograph's grid is here."""

    def known(self) -> Container[str]:
        """The keys whose grids are here, as something that worker processes can be given."""

    def get(self, key: str) -> Tensor:
        """A grid that is known."""

    def put(self, key: str, grid: Tensor) -> Tensor:
        """Keep a grid if there is room; return it as `get` would."""


def cached_grids(cache: GridCache, encode: Callable[[Sequence[Path]], Tensor], photos: Sequence[Path]) -> Tensor:
    """The grids (B, C, H, W) of photographs as they are, float32; those not in the cache are encoded and put there."""
    new = [photo for photo in photos if str(photo) not in cache]
    encoded = encode(new) if new else ()
    fresh = {str(photo): cache.put(str(photo), grid) for photo, grid in zip(new, encoded, strict=True)}
    return torch.stack([fresh[key] if key in fresh else cache.get(key) for key in map(str, photos)]).float()


def as_stored(grid: Tensor) -> Tensor:
    """A grid as caches keep it."""
    return grid.detach().half().cpu().clone()


class MemoryCache:
    """Grids in memory, up to a bound."""

    def __init__(self, gigabytes: float):
        self._bytes_left = int(gigabytes * 1e9)
        self._grids: dict[str, Tensor] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._grids

    def known(self) -> Container[str]:
        """The keys as they are now."""
        return frozenset(self._grids)

    def get(self, key: str) -> Tensor:
        """A grid that is known."""
        return self._grids[key]

    def put(self, key: str, grid: Tensor) -> Tensor:
        """Keep a grid if there is room."""
        half = as_stored(grid)
        if key not in self._grids and half.nbytes <= self._bytes_left:
            self._grids[key] = half
            self._bytes_left -= half.nbytes
        return half


class FolderCache:
    """Grids in a folder, a file each, up to a bound; they outlive the run and serve all its processes.

    A file appears whole or not at all, so a run may be killed at any time. Its name is derived from the
    encoder's weights and from the photograph's path, size and time of change: if any of them changes, the
    file is no longer found.

    Args:
        folder: where the files lie; made if need be.
        gigabytes: how much all files in it may come to; older ones, of other encoders too, count and stay.
        encoder: what identifies the encoder's weights and preprocessing.
        processes: how many write at once, each of which takes its part of the room left.

    Raises:
        DataError: if the folder cannot be used.
    """

    def __init__(self, folder: Path, gigabytes: float, encoder: str, processes: int = 1):
        self._folder = folder
        self._encoder = encoder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob("*/*.part"):  # of a run that was killed
                if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                    part.unlink(missing_ok=True)
            used = sum(file.stat().st_size for file in folder.glob("*/*.npy"))
        except OSError as error:
            raise DataError(f"The feature cache {folder} cannot be used: {error}.") from error
        self._bytes_left = (gigabytes * 1e9 - used) / processes
        self._told = False

    def __contains__(self, key: str) -> bool:
        try:
            return self._file(key).exists()
        except OSError:
            return False  # the photograph itself is gone; whoever opens it will say so

    def known(self) -> Container[str]:
        """The cache itself: a key is known as soon as any process has written its file."""
        return self

    def get(self, key: str) -> Tensor:
        """A grid that is known.

        Raises:
            DataError: if its file is damaged.
        """
        file = self._file(key)
        try:
            return torch.from_numpy(numpy.load(file))
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{file} in the feature cache is damaged ({error}). Delete it and resume.") from error

    def put(self, key: str, grid: Tensor) -> Tensor:
        """Keep a grid if there is room, on the disk too."""
        half = as_stored(grid)
        size = half.nbytes + HEADER_BYTES
        if size <= self._bytes_left and key not in self:
            try:
                self._write(half, self._file(key))
                self._bytes_left -= size
            except OSError as error:
                # The disk is full, say: training goes on, only slower.
                print(f"The feature cache is no longer written to: {error}.")
                self._bytes_left = 0
        elif size > self._bytes_left and not self._told:
            self._told = True
            print(
                f"The feature cache {self._folder} is full: what does not fit is computed anew. Grids of other "
                "encoders in it count too; delete the folder if they are no longer needed."
            )
        return half

    @staticmethod
    def _write(half: Tensor, file: Path) -> None:
        """Write a grid so that its file appears whole or not at all."""
        file.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
            try:
                numpy.save(part, half.numpy())
                part.close()
                Path(part.name).replace(file)
            finally:
                Path(part.name).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        """The file of a photograph's grid."""
        photo = Path(key.removesuffix(MIRRORED))
        state = photo.stat()
        identity = f"{self._encoder} {photo.resolve()} {key} {state.st_size} {state.st_mtime_ns}"
        name = hashlib.sha256(os.fsencode(identity)).hexdigest()
        return self._folder / name[:2] / f"{name[2:32]}.npy"
