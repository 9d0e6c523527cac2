"""Where photographs come from: dropped files, the camera, or an example."""

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from captioner import PHOTO_SUFFIXES, PhotoError
from captioner.viewer import MOST_AT_ONCE
from captioner.viewer.examples import EXAMPLES, Example

from .engine import BusyError, Engine, Look, is_bundled
from .faults import as_it_stands
from .host import MOST_MEGABYTES, refused_uploads
from .waiting import waiting


def choose_photographs(engine: Engine) -> list[Look]:
    """Let the visitor give photographs; what was given last stays until something else is.

    Files are looked at once and then forgotten: only `Look`s remain, in the session.
    """
    given = st.session_state.setdefault("given", 0)  # a new number gives new, empty widgets
    drop, camera = st.columns([3, 1], vertical_alignment="bottom")
    with drop:
        kinds = [suffix.removeprefix(".") for suffix in PHOTO_SUFFIXES]
        label = f"Drop photographs here, up to {MOST_AT_ONCE}, or try an example"
        files = st.file_uploader(label, kinds, accept_multiple_files=True, key=f"files-{given}")
    with camera:
        wants_camera = st.toggle("Use the camera", key=f"camera-{given}")
    shot = st.camera_input("Take a picture", key=f"shot-{given}") if wants_camera else None
    example = choose_example()
    photographs = [(file.name, file.getvalue()) for file in files]
    if shot:
        photographs = [("photograph.jpg", shot.getvalue())]
    if example:
        photographs = [(example.path.name, example.path.read_bytes())]
    if photographs:
        try:
            take(engine, photographs)
        except BusyError as error:
            st.warning(str(error))
            st.button("Try again")  # the files are still there, and each run of the page tries
        else:
            forget([*files, *([shot] if shot else [])])
            st.session_state.given += 1
            st.rerun()
    for problem in st.session_state.get("problems", []):
        st.error(as_it_stands(problem))
    return st.session_state.get("looks", [])


def choose_example() -> Example | None:
    """The example that was clicked just now, if one was; once there is a result, they make room for it."""
    clicked = None
    place = st.expander("Examples to try") if st.session_state.get("looks") else st.container()
    with place, st.container(horizontal=True, key="examples"):
        for example in EXAMPLES:
            with st.container(width=150, gap="xsmall", key=f"tile-{example.name}"):  # a click anywhere on it counts
                st.image(example.path, width="stretch", alt="")
                author = f"[{example.author}]({example.address})" if example.address else example.author
                credit = f"Photograph: {author}, {example.licence}"
                if st.button(example.name.capitalize(), key=f"example-{example.name}", help=credit, width="stretch"):
                    clicked = example
                if example.wrong and is_bundled():
                    st.caption("it gets this wrong", text_alignment="center")
    return clicked


def take(engine: Engine, photographs: Sequence[tuple[str, bytes]]) -> None:
    """Look at photographs, given as names and contents, and remember them and what was wrong with others.

    Raises:
        BusyError: if too many visitors wait; then nothing is remembered.
    """
    looks, problems = [], []
    if len(photographs) > MOST_AT_ONCE:
        problems.append(
            f"These are {len(photographs)} photographs; the page takes {MOST_AT_ONCE} at once, so the first "
            f"{MOST_AT_ONCE} are here. For whole folders there is the command `python -m captioner`."
        )
    with waiting("Looking at the photograph") as tell:
        taken = photographs[:MOST_AT_ONCE]
        for number, (name, data) in enumerate(taken, 1):
            tell.step(number, len(taken))
            try:
                looks.append(engine.look(data, name, tell))
            except PhotoError as error:
                problems.append(str(error))
    st.session_state.problems = problems
    if looks:  # else what was there stays
        st.session_state.looks, st.session_state.closer = looks, 0


def forget(files: Sequence[UploadedFile]) -> None:
    """Free the memory that uploaded files take; nothing needs them any more."""
    context = get_script_run_ctx()
    for file in files:
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
    refused = refused_uploads(context.uploaded_file_mgr, context.session_id)
    if refused:
        st.session_state.problems.append(
            f"{', '.join(refused)}: not taken, since all files at once may have at most {MOST_MEGABYTES} MB. Please "
            "drop fewer at a time."
        )
