"""What a visitor sees when something goes wrong."""

import logging
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
        st.error(str(error))
    except Exception:
        LOGGER.exception("The page failed")
        st.error("Something went wrong here. Please try again, perhaps with another photograph.")
