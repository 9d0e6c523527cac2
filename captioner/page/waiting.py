"""What a visitor sees while the model works."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st


@contextmanager
def waiting(text: str) -> Iterator[Callable[[int], None]]:
    """Show a skeleton with a text until the block ends; gives what tells how many others are served first."""
    place = st.empty()

    def tell(before: int) -> None:
        others = "one other is" if before == 1 else f"{before} others are"
        with place.container():
            st.caption(f"The page is busy: {others} served before you." if before else f"{text} …")
            st.skeleton(height=220)

    try:
        yield tell
    finally:
        place.empty()
