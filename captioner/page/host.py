"""What the server that runs the page must and must not do with what visitors send it."""

from collections import defaultdict

from starlette.formparsers import MultiPartParser
from streamlit import net_util
from streamlit.runtime import get_instance
from streamlit.runtime.uploaded_file_manager import UploadedFileManager, UploadedFileRec

from captioner.photo import MAXIMUM_BYTES

MOST_MEGABYTES = 300  # of files that one session may hold until the page has looked at them


def keep_to_itself() -> None:
    """Keep uploads in memory, a bounded amount of them for each session, and ask nothing of other machines."""
    # Else an upload above a megabyte would lie in a temporary file while it arrives.
    MultiPartParser.spool_max_size = MAXIMUM_BYTES
    # Else each connection from a page of another origin would make the server ask a service on the internet for its
    # own address before it refuses.
    net_util._external_ip = "127.0.0.1"
    manager = get_instance().uploaded_file_mgr
    if isinstance(manager, UploadedFileManager):
        bound_uploads(manager)


def bound_uploads(manager: UploadedFileManager, most_megabytes: int = MOST_MEGABYTES) -> None:
    """Let a manager of uploaded files take no more from a session at a time; what is beyond is dropped."""
    add = manager.add_file
    manager.refused = defaultdict(list)

    def add_bounded(session_id: str, file: UploadedFileRec) -> None:
        held = getattr(manager, "file_storage", {}).get(session_id, {}).values()
        if sum(len(other.data) for other in held) + len(file.data) <= most_megabytes * 1e6:
            add(session_id, file)
        else:
            manager.refused[session_id].append(file.name)

    manager.add_file = add_bounded


def refused_uploads(manager: UploadedFileManager, session_id: str) -> list[str]:
    """Names of a session's files that were dropped since this was last called."""
    return getattr(manager, "refused", {}).pop(session_id, [])
