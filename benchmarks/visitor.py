"""A visitor of the page without a browser: it speaks Streamlit's own protocol over a websocket."""

import json
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

XSRF_COOKIE = "_streamlit_xsrf"


@dataclass
class Visitor:
    """One session of the page.

    Attributes:
        address: where the page is served, as in "http://127.0.0.1:8501".
        elements: what the last run of the page has drawn, by kind.
    """

    address: str
    elements: dict[str, list[Element]] = field(default_factory=dict)

    def __enter__(self) -> "Visitor":
        parts = urllib.parse.urlsplit(self.address)
        with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=120) as health:
            cookies = health.headers["Set-Cookie"] or ""
        self._token = cookies.partition(f"{XSRF_COOKIE}=")[2].partition(";")[0].strip('"')
        self._stack = ExitStack()
        connection = connect(
            f"ws://{parts.netloc}/_stcore/stream",
            subprotocols=["streamlit"],
            additional_headers={"Cookie": f"{XSRF_COOKIE}={self._token}"},
            max_size=None,
        )
        self._socket = self._stack.enter_context(connection)
        self._run()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def upload(self, name: str, data: bytes) -> float:
        """Give the page a photograph and wait for what it draws then; returns the seconds that took."""
        start = time.perf_counter()
        uploaders = self.elements.get("file_uploader", [])
        if not uploaders:
            raise OSError(f"The page has no place for uploads. It says: {self.errors}")
        uploader = uploaders[0].file_uploader
        message = BackMsg()
        message.file_urls_request.file_names.append(name)
        message.file_urls_request.request_id = name
        self._socket.send(message.SerializeToString())
        urls = self._receive("file_urls_response").file_urls_response.file_urls[0]
        self._put(urls.upload_url, name, data)
        message = BackMsg()
        state = message.rerun_script.widget_states.widgets.add(id=uploader.id)
        info = state.file_uploader_state_value.uploaded_file_info.add(file_id=urls.file_id, name=name, size=len(data))
        info.file_urls.CopyFrom(urls)
        self._run(message)
        return time.perf_counter() - start

    @property
    def shown(self) -> dict[str, Any]:
        """What the page shows of a photograph: its "key", the caption's "text", and more; empty if it shows none."""
        viewers = self.elements.get("bidi_component", [])
        return json.loads(viewers[-1].bidi_component.json) if viewers else {}

    @property
    def caption(self) -> str:
        """The caption that the page shows, or ""."""
        return self.shown.get("text", "")

    @property
    def errors(self) -> list[str]:
        """Errors that the page shows."""
        alerts = [element.alert for element in self.elements.get("alert", [])]
        return [alert.body for alert in alerts if alert.format == alert.ERROR]

    def _run(self, message: BackMsg | None = None) -> None:
        """Let the page run, and again if it asks for that, and collect what it draws."""
        if message is None:
            message = BackMsg()
            message.rerun_script.query_string = ""
        self._socket.send(message.SerializeToString())
        while True:
            answer = self._receive()
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self.elements = {}
            elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                element = answer.delta.new_element
                self.elements.setdefault(element.WhichOneof("type"), []).append(element)
            elif kind == "script_finished" and answer.script_finished in (
                ForwardMsg.FINISHED_SUCCESSFULLY,
                ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY,
            ):
                return

    def _receive(self, kind: str = "") -> ForwardMsg:
        """The next message, or the next of a kind."""
        while True:
            message = ForwardMsg()
            message.ParseFromString(self._socket.recv(timeout=300))
            if not kind or message.WhichOneof("type") == kind:
                return message

    def _put(self, path: str, name: str, data: bytes) -> None:
        """Send a file as the browser does.

        Raises:
            HTTPError: if the server refuses it.
        """
        boundary = "captioner-visitor"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "X-Xsrftoken": self._token,
            "Cookie": f"{XSRF_COOKIE}={self._token}",
        }
        request = urllib.request.Request(self.address + path, body, headers, method="PUT")
        urllib.request.urlopen(request, timeout=120).close()
