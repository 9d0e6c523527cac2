"""One model for all visitors: what they ask for is done one after the other, and what was found is kept a while."""

import gc
import hashlib
import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st
from cachetools import LRUCache
from PIL import Image
from starlette.formparsers import MultiPartParser
from torch import Tensor

from captioner import Caption, Captioner, CaptionerError, open_photo
from captioner.photo import MAXIMUM_BYTES

Result = TypeVar("Result")

LOOKS, CAPTIONS = 64, 512  # about 0.5 MB and 50 kB each


class BusyError(CaptionerError):
    """So many visitors wait already that another one would wait too long."""


@dataclass(frozen=True)
class Look:
    """All that is kept of a photograph.

    Attributes:
        name: the visitor's name of it.
        key: a digest of the file, which tells photographs apart.
        jpeg: the photograph at display size, without metadata.
        grid: its features, float32 (1, C, H, W).
    """

    name: str
    key: str
    jpeg: bytes
    grid: Tensor

    @property
    def photo(self) -> Image.Image:
        """The photograph at display size."""
        return Image.open(io.BytesIO(self.jpeg))


class Engine:
    """Encodes and decodes for all visitors, in the order in which they come, in a thread of its own.

    One after the other is fastest: a single search already uses all cores, and whoever comes first is served
    first instead of everyone last. One thread also keeps torch's memory in one place.

    Args:
        captioner: the model.
        most_waiting: how many requests may wait.
    """

    def __init__(self, captioner: Captioner, most_waiting: int = 60):
        self.captioner = captioner
        self.most_waiting = most_waiting
        self._worker = ThreadPoolExecutor(1, "captioner")
        self._lock = threading.Lock()
        self._waiting: list[Future] = []
        self._kept: dict[str, LRUCache] = {"look": LRUCache(LOOKS), "write": LRUCache(CAPTIONS)}

    def look(self, data: bytes, name: str, tell: Callable[[int], None]) -> Look:
        """Read a photograph and encode it: the expensive part, once for each content.

        Args:
            data: the file's bytes.
            name: what errors call it.
            tell: called while waiting, with the number of requests before this one.

        Raises:
            PhotoError: if it cannot be read.
            BusyError: if too many wait.
        """
        key = hashlib.sha256(data).hexdigest()

        def work() -> tuple[bytes, Tensor]:
            photo = open_photo(data, name)
            file = io.BytesIO()
            photo.save(file, "JPEG", quality=85)
            return file.getvalue(), self.captioner.encode([photo])

        return Look(name, key, *self._find("look", key, work, tell))

    def write(self, look: Look, settings: dict[str, Any], tell: Callable[[int], None]) -> Caption:
        """Caption a photograph: the cheap part, once for each content and settings. See `look`."""
        key = (look.key, tuple(sorted(settings.items())))
        return self._find("write", key, lambda: self.captioner.decode(look.grid, **settings)[0], tell)

    def candidates(self, look: Look, caption: Caption, tell: Callable[[int], None]) -> list[list[tuple[str, float]]]:
        """The likeliest words at each place of a caption, see `Captioner.candidates`, and `look` here."""
        key = ("candidates", look.key, caption.words)
        return self._find("write", key, lambda: self.captioner.candidates(look.grid, caption.words), tell)

    def _find(self, kind: str, key: Any, work: Callable[[], Result], tell: Callable[[int], None]) -> Result:
        """What is kept under a key, or the result of work that then is."""
        kept = self._kept[kind]
        with self._lock:
            if key in kept:
                return kept[key]
            if len(self._waiting) >= self.most_waiting:
                raise BusyError("Too many photographs are waiting at the moment. Please try again in a minute.")
            future = self._worker.submit(work)
            self._waiting.append(future)
        future.add_done_callback(self._forget)
        try:
            result = self._await(future, tell)
        finally:
            future.cancel()  # whoever has left the page takes nobody's time
        with self._lock:
            kept[key] = result
        return result

    def _forget(self, future: Future) -> None:
        """A request was answered or given up."""
        with self._lock:
            self._waiting.remove(future)

    def _await(self, future: Future, tell: Callable[[int], None]) -> Any:
        """The result of a request, telling how many are before it until then."""
        while True:
            try:
                return future.result(timeout=0.3)
            except TimeoutError:
                if future.done():  # just now, or it was the work's own
                    return future.result()
                with self._lock:
                    before = self._waiting.index(future) if future in self._waiting else 0
                tell(before)


@st.cache_resource(show_spinner="Loading the model …")
def load_engine() -> Engine:
    """The model, once for all visitors: the bundled one, or the checkpoint that CAPTIONER_CHECKPOINT names.

    Raises:
        CheckpointError: if it cannot be loaded.
    """
    # Else an upload above a megabyte would lie in a temporary file while it arrives.
    MultiPartParser.spool_max_size = MAXIMUM_BYTES
    engine = Engine(Captioner.load(os.environ.get("CAPTIONER_CHECKPOINT")))
    # Streamlit collects garbage after each run of the page; that torch and the model are none, it would find out anew
    # every time, in a fifth of a second.
    gc.collect()
    gc.freeze()
    return engine
