"""One model for all visitors: what they ask for is done one after the other, and what was found is kept a while."""

import gc
import hashlib
import io
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st
from cachetools import LRUCache
from PIL import Image
from torch import Tensor

from captioner import Caption, Captioner, CaptionerError, Explanation, SearchConfig, open_photo
from captioner.threads import set_threads

from .host import keep_to_itself

Result = TypeVar("Result")
Tell = Callable[[int], None]

GRIDS, CAPTIONS = 64, 512  # about 0.3 MB and 50 kB each; half of the latter are explanations


class BusyError(CaptionerError):
    """So many visitors wait already that another one would wait too long."""


@dataclass(frozen=True)
class Look:
    """All that is kept of a photograph, in its visitor's session alone.

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
    first instead of everyone last. One thread also keeps torch's memory in one place. Grids and captions are
    kept by content and settings, a bounded number of each; photographs are not.

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
        self._grids, self._captions = LRUCache(GRIDS), LRUCache(CAPTIONS)

    def look(self, data: bytes, name: str, tell: Tell) -> Look:
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

        def work() -> Look:
            photo = open_photo(data, name)
            file = io.BytesIO()
            photo.save(file, "JPEG", quality=85)
            grid = self._kept(self._grids, key, lambda: self.captioner.encode([photo]))
            return Look(name, key, file.getvalue(), grid)

        return self._await(work, tell)

    def write(self, look: Look, settings: dict[str, Any], tell: Tell) -> Caption:
        """Caption a photograph: the cheap part, once for each content and settings. See `look`."""
        key = (look.key, SearchConfig.of(settings))
        return self._find(key, lambda: self.captioner.decode(look.grid, **settings)[0], tell)

    def explain(self, look: Look, caption: Caption, tell: Tell) -> Explanation:
        """How the model came to each word of a caption, see `Captioner.explain`, and `look` here."""
        key = (look.key, caption.words)
        return self._find(key, lambda: self.captioner.explain(look.grid, caption.words), tell)

    def _find(self, key: Any, work: Callable[[], Result], tell: Tell) -> Result:
        """What is kept of captions under a key, or the result of work that then is."""
        with self._lock:
            if key in self._captions:
                return self._captions[key]
        return self._await(lambda: self._kept(self._captions, key, work), tell)

    def _kept(self, kept: LRUCache, key: Any, work: Callable[[], Result]) -> Result:
        """In the worker: what somebody before has found, or the result of work, which is then kept."""
        with self._lock:
            if key in kept:
                return kept[key]
        result = work()
        with self._lock:
            kept[key] = result
        return result

    def _await(self, work: Callable[[], Result], tell: Tell) -> Result:
        """Let the worker do something, telling how many requests are before it until it has."""
        with self._lock:
            if len(self._waiting) >= self.most_waiting:
                raise BusyError("Too many photographs are waiting at the moment. Please try again in a minute.")
            future = self._worker.submit(work)
            self._waiting.append(future)
        future.add_done_callback(self._forget)
        try:
            while True:
                try:
                    return future.result(timeout=0.3)
                except TimeoutError:
                    if future.done():  # just now, or it was the work's own
                        return future.result()
                    with self._lock:
                        before = self._waiting.index(future) if future in self._waiting else 0
                    tell(before)
        finally:
            future.cancel()  # whoever has left the page takes nobody's time

    def _forget(self, future: Future) -> None:
        """A request was answered or given up."""
        with self._lock:
            self._waiting.remove(future)


def is_bundled() -> bool:
    """Whether the page shows the bundled model, not one that CAPTIONER_CHECKPOINT names."""
    return not os.environ.get("CAPTIONER_CHECKPOINT")


@st.cache_resource(show_spinner="Loading the model …")
def load_engine() -> Engine:
    """The model, once for all visitors: the bundled one, or the checkpoint that CAPTIONER_CHECKPOINT names.

    Raises:
        CaptionerError: if it cannot be loaded; the log says why.
    """
    keep_to_itself()
    set_threads()
    try:
        engine = Engine(Captioner.load(os.environ.get("CAPTIONER_CHECKPOINT")))
    except CaptionerError as error:
        logging.getLogger(__name__).error("The model cannot be loaded: %s", error)
        reason = "Whoever runs this page finds the reason in its log."
        raise CaptionerError(f"The model cannot be loaded. {reason}") from error
    # Streamlit collects garbage after each run of the page; that torch and the model are none, it would find out anew
    # every time, in a fifth of a second.
    gc.collect()
    gc.freeze()
    return engine
