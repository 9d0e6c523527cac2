"""The page in a real, headless Chromium: what the browser test and the scripts in `benchmarks/` share."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))

# The viewer lives in a shadow root, which selectors of the document do not enter.
FIND_VIEWER = """
const hosts = [...document.querySelectorAll("*")].filter((element) => element.shadowRoot)
return hosts.map((host) => host.shadowRoot.querySelector(".viewer")).find(Boolean) ?? null
"""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served(*options: str, log: Any = subprocess.DEVNULL) -> Iterator[tuple[str, subprocess.Popen]]:
    """The page, served as a user would serve it; gives its address and the server's process."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.address", "127.0.0.1", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(1200):
                try:
                    urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).read()
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
            yield address, server
        finally:
            server.terminate()


@contextmanager
def opened(folder: Path, width: int = 1280, height: int = 1000) -> Iterator["Page"]:
    """A headless Chromium whose profile and downloads lie in a folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = ["headless=new", "disable-gpu", "no-first-run", "disable-dev-shm-usage", f"window-size={width},{height}"]
    flags += ["disable-background-networking", "disable-component-update", "disable-sync"]
    flags += [f"user-data-dir={folder / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags += ["no-sandbox"]  # Chromium's sandbox does not run as root
    for flag in flags:
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield Page(driver, folder / "downloads")
    finally:
        driver.quit()


class Page:
    """The page in a browser. It redraws itself while it works, so whatever is asked is asked again until it holds."""

    def __init__(self, driver: Any, downloads: Path):
        self.driver = driver
        self.downloads = downloads

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait until a condition gives something, and return that."""
        from selenium.common import exceptions
        from selenium.webdriver.support.ui import WebDriverWait

        ignored = [exceptions.NoSuchElementException, exceptions.StaleElementReferenceException]
        ignored += [exceptions.ElementNotInteractableException]  # what has only begun to open
        return WebDriverWait(self.driver, seconds, 0.1, ignored).until(lambda _: condition())

    def all(self, selector: str) -> list[Any]:
        """Elements of the document."""
        return self.driver.find_elements("css selector", selector)

    def work(self, script: str, *arguments: Any, seconds: float = 240) -> Any:
        """What the body of an asynchronous function gives; in it, `a` are the arguments.

        Of those, {"name", "content"}, the latter in base64, become files.

        Raises:
            RuntimeError: if it throws, with its message.
        """
        begin = """
        const decode = (content) => Uint8Array.from(atob(content), (character) => character.charCodeAt(0))
        const isFile = (value) => typeof value?.content === "string"
        const a = [...arguments].map((value) => (isFile(value) ? new File([decode(value.content)], value.name) : value))
        const work = async () => { %s }
        globalThis.answer = null
        work().then((value) => (answer = { value }), (error) => (answer = { error: error.message }))
        """
        self.driver.execute_script(begin % script, *arguments)
        # Asked again and again, since one request that takes long would be given up.
        answer = self.until(lambda: self.driver.execute_script("return answer"), seconds)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("value")

    def text(self) -> str:
        """All that can be read, outside the viewer."""
        return self.driver.find_element("tag name", "body").text

    def upload(self, *paths: Path) -> None:
        """Give the page photographs."""
        self.until(lambda: self.all("input[type=file]"))[0].send_keys("\n".join(str(path.resolve()) for path in paths))

    def click(self, label: str, selector: str = "button, summary, label") -> None:
        """Click the first thing that is labelled so."""

        def clicked() -> bool:
            for found in self.all(selector):
                if label in found.text and found.is_displayed():
                    self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
                    found.click()
                    return True
            return False

        self.until(clicked)

    def open(self, label: str) -> None:
        """Open the expander that is labelled so."""
        part = self.until(lambda: [part for part in self.all("details") if label in part.text])[0]
        if part.get_attribute("open") is None:
            self.click(label, "summary")

    def viewer(self, script: str = "return viewer.captioner.data.text", *arguments: Any) -> Any:
        """What a script says of the viewer; None while there is none."""
        found = f"const viewer = (() => {{ {FIND_VIEWER} }})(); if (!viewer?.captioner) return null; {script}"
        return self.driver.execute_script(found, *arguments)

    def shows(self, text: str) -> None:
        """Wait until the viewer shows a caption."""
        self.until(lambda: self.viewer() == text)

    def choose_word(self, place: int) -> None:
        """Click a word of the sentence."""
        self.until(lambda: self.viewer("return viewer.querySelectorAll('.word')[arguments[0]]", place)).click()

    def emulate(self, theme: str = "light", width: int = 0, height: int = 1000) -> None:
        """Set the visitor's colour scheme, and the window's size unless `width` is 0."""
        feature = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
        if width:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def requests(self) -> list[str]:
        """Addresses that the browser has asked for since this was last called."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [request["request"]["url"] for request in sent]
