"""What a visitor sees when something goes wrong."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from captioner import CaptionerError

LOGGER = logging.getLogger(__name__)


@contextmanager
def faults_told() -> Iterator[None]:
    """Tell errors in words where the block stands; details of unexpected ones go to the log, not to the visitor."""
    try:
        yield
    except CaptionerError as error:
        st.error(as_it_stands(str(error)))
    except Exception:
        LOGGER.exception("The page failed")
        st.error("Something went wrong here. Please try again, perhaps with another photograph.")


def as_it_stands(text: str) -> str:
    """A text, with a visitor's file name in it, for places that would read it as Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+\-!|$:<>~&])", r"\\\1", text)
