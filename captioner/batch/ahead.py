"""Reading ahead: photographs are read and decoded in other threads while the model works."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ..threads import processors

Given = TypeVar("Given")
Made = TypeVar("Made")


def ahead(make: Callable[[Given], Made], given: Iterable[Given], workers: int, most: int) -> Iterator[Made]:
    """What `make` makes of each, in order, made in threads before it is asked for.

    Decoders let go of Python's lock while they decode, so that threads do keep several cores busy.

    Args:
        make: called in the threads.
        given: what to call it with; taken only as far as there is room.
        workers: how many threads.
        most: how many results may wait, which bounds the memory.
    """
    pool, waiting = ThreadPoolExecutor(workers, "ahead"), deque[Future[Made]]()
    try:
        for each in given:
            waiting.append(pool.submit(make, each))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def default_workers() -> int:
    """A thread for each processor of this process, but no more than four, since each may hold a large photograph."""
    return min(4, processors())
