"""One walk through the page in a real, headless Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Chromium and its driver (Debian: chromium, chromium-driver)"
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page, served as a user would serve it."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    command += ["--server.headless", "true", "--server.address", "127.0.0.1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        base = f"http://127.0.0.1:{port}"
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{base}/_stcore/health", timeout=2).read()
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.5)
            yield base
        finally:
            server.terminate()


@pytest.fixture
def browser(tmp_path):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = ["--headless=new", "--disable-gpu", "--no-first-run", "--window-size=1280,1000", "--disable-dev-shm-usage"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += [f"--user-data-dir={tmp_path}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags += ["--no-sandbox"]  # Chromium's sandbox does not run as root
    for flag in flags:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def test_upload_a_photograph_and_read_the_caption(browser, address, bundled, examples):
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    # The page redraws itself while it works: whatever is asked of an element is asked again if it has gone.
    wait = WebDriverWait(browser, 90, ignored_exceptions=[NoSuchElementException, StaleElementReferenceException])

    def photograph(name: str) -> str:
        return browser.find_element(By.CSS_SELECTOR, "[data-testid=stImage] img").get_attribute(name)

    def says(text: str) -> bool:
        return text in browser.find_element(By.TAG_NAME, "body").text

    def choose(word: str) -> bool:
        buttons = browser.find_elements(By.CSS_SELECTOR, ".st-key-word button")
        chosen = [button for button in buttons if button.text.strip("\u200b") == word]
        for button in chosen[:1]:
            button.click()
        return bool(chosen)

    caption = bundled.caption(examples[1])
    browser.get(address)
    wait.until(lambda page: page.find_element(By.CSS_SELECTOR, "input[type=file]")).send_keys(str(examples[1]))
    wait.until(lambda _: says(caption.text))
    wait.until(lambda _: photograph("alt") == caption.text)
    before = wait.until(lambda _: photograph("src"))
    wait.until(lambda _: choose(caption.words[-1]))
    wait.until(lambda _: says(f"looked for “{caption.words[-1]}”"))
    wait.until(lambda _: photograph("src") != before)
    assert photograph("alt") == caption.text
