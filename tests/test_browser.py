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
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def find(selector: str):
        return WebDriverWait(browser, 90).until(lambda page: page.find_elements(By.CSS_SELECTOR, selector))

    caption = bundled.caption(examples[1])
    browser.get(address)
    find("input[type=file]")[0].send_keys(str(examples[1]))
    WebDriverWait(browser, 90).until(lambda page: caption.text in page.find_element(By.TAG_NAME, "body").text)
    (photo,) = find("[data-testid=stImage] img")
    assert photo.get_attribute("alt") == caption.text
    before = photo.get_attribute("src")
    buttons = [button for button in find("button") if button.text.strip("\u200b") == caption.words[-1]]
    buttons[0].click()
    WebDriverWait(browser, 90).until(
        lambda page: page.find_element(By.CSS_SELECTOR, "[data-testid=stImage] img").get_attribute("src") != before
    )
    assert f"looked for “{caption.words[-1]}”" in browser.find_element(By.TAG_NAME, "body").text
