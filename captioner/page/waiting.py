"""What a visitor sees while the model works."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st


class Waiting:
    """Tells how far the work is: called with the number of other requests that are served first."""

    def __init__(self, text: str):
        self._text = text
        self._place = st.empty()

    def __call__(self, before: int) -> None:
        others = "one other is" if before == 1 else f"{before} others are"
        self._show(f"The page is busy: {others} served before you." if before else f"{self._text} …")

    def step(self, number: int, count: int) -> None:
        """Tell that, of several photographs, the work is at this one, counted from 1."""
        if count > 1:
            self._show(f"{self._text} {number} of {count} …", (number - 1) / count)

    def clear(self) -> None:
        """Show nothing any more."""
        self._place.empty()

    def _show(self, text: str, share: float | None = None) -> None:
        with self._place.container():
            st.html(f'<p role="status">{text}</p>')
            if share is None:
                st.skeleton(height=220)
            else:
                st.progress(share)


@contextmanager
def waiting(text: str) -> Iterator[Waiting]:
    """Something that tells how far the work of a block is, until the block ends."""
    told = Waiting(text)
    try:
        yield told
    finally:
        told.clear()
