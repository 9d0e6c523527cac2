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
import torch
from cachetools import LRUCache
from PIL import Image
from torch import Tensor

from captioner import Caption, Captioner, CaptionerError, Explanation, PhotoError, SearchConfig, open_photo
from captioner.threads import set_threads

from .host import keep_to_itself

Result = TypeVar("Result")
Tell = Callable[[int], None]

TOGETHER = 8  # photographs in one pass of the encoder; more are no faster

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


@dataclass(eq=False)
class Request:
    """A photograph that somebody wants to be looked at, and in the end what came of it."""

    data: bytes
    name: str
    key: str
    result: Look | Exception | None = None


class Engine:
    """Encodes and decodes for all visitors, in the order in which they come, in a thread of its own.

    One after the other is fastest: a single search already uses all cores, and whoever comes first is served
    first instead of everyone last. Only photographs that wait at the same time are encoded together. One thread also
    keeps torch's memory in one place. Grids and captions are kept by content and settings, a bounded number of each;
    photographs are not.

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
        self._unseen: list[Request] = []
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
        request = Request(data, name, hashlib.sha256(data).hexdigest())
        with self._lock:
            self._unseen.append(request)
        try:
            return self._await(lambda: self._seen(request), tell)
        finally:
            with self._lock:
                if request in self._unseen:  # given up before its turn
                    self._unseen.remove(request)

    def _seen(self, request: Request) -> Look:
        """In the worker: what came of a request, which is seen to, together with others that wait, if it was not."""
        if request.result is None:
            with self._lock:
                others = [other for other in self._unseen if other is not request][: TOGETHER - 1]
                together = [request, *others]
                self._unseen = [other for other in self._unseen if other not in together]
            try:
                self._see(together)
            except Exception as error:  # all of them wait for an answer
                for each in together:
                    each.result = each.result or error
        if isinstance(request.result, Exception):
            raise request.result
        return request.result

    def _see(self, requests: list[Request]) -> None:
        """Read photographs, and encode at once those of them whose grids are not kept."""
        jpegs: dict[Request, bytes] = {}
        pixels: dict[str, Tensor] = {}
        for request in requests:
            try:
                photo = open_photo(request.data, request.name)
            except PhotoError as error:
                request.result = error
                continue
            file = io.BytesIO()
            photo.save(file, "JPEG", quality=85)
            jpegs[request] = file.getvalue()
            if request.key not in self._grids:
                pixels[request.key] = self.captioner.prepare(photo)
        grids = {key: self._grids[key] for key in {request.key for request in jpegs} - pixels.keys()}
        if pixels:
            encoded = self.captioner.encode_pixels(torch.stack(list(pixels.values())))
            # Copies, or each would keep all of them in memory.
            grids |= zip(pixels, (grid.clone() for grid in encoded.split(1)), strict=True)
        with self._lock:
            self._grids.update(grids)
        for request, jpeg in jpegs.items():
            request.result = Look(request.name, request.key, jpeg, grids[request.key])

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
        return self._await(lambda: self._kept(key, work), tell)

    def _kept(self, key: Any, work: Callable[[], Result]) -> Result:
        """In the worker: what somebody before has found, or the result of work, which is then kept."""
        with self._lock:
            if key in self._captions:
                return self._captions[key]
        result = work()
        with self._lock:
            self._captions[key] = result
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

    CAPTIONER_PRECISION chooses its precision, see `Captioner`.

    Raises:
        CaptionerError: if it cannot be loaded; the log says why.
    """
    keep_to_itself()
    set_threads()
    try:
        precision = os.environ.get("CAPTIONER_PRECISION") or "auto"
        engine = Engine(Captioner.load(os.environ.get("CAPTIONER_CHECKPOINT"), precision=precision))
    except CaptionerError as error:
        logging.getLogger(__name__).error("The model cannot be loaded: %s", error)
        reason = "Whoever runs this page finds the reason in its log."
        raise CaptionerError(f"The model cannot be loaded. {reason}") from error
    # Streamlit collects garbage after each run of the page; that torch and the model are none, it would find out anew
    # every time, in a fifth of a second.
    gc.collect()
    gc.freeze()
    return engine
