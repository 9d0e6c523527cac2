"""Make the README's pictures of the page: python -m benchmarks.screenshot [PHOTO] [--output DIR].

Starts the page, gives it a photograph in a headless Chromium, chooses a word, and saves it light, dark
and at a phone's width.
"""

import argparse
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parents[1]
VIEWS = {"light": (1280, 960), "dark": (1280, 960), "phone": (390, 1500)}


def open_browser(theme: str, width: int, height: int) -> webdriver.Chrome:
    """A headless Chromium of a size; `theme` is light or dark."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--window-size={max(width, 500)},{height}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    feature = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return browser


def take(address: str, photo: Path, word: int, view: str, target: Path) -> None:
    """One picture of the page after a photograph and a word were chosen."""
    browser = open_browser("dark" if view == "dark" else "light", *VIEWS[view])
    try:
        browser.get(address)
        wait = WebDriverWait(browser, 120)
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "input[type=file]"))[0].send_keys(str(photo))
        wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, "[data-testid=stImage] img"))
        words = wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, ".st-key-word button"))
        words[word].click()
        wait.until(lambda page: "Where the model looked for" in page.find_element(By.TAG_NAME, "body").text)
        time.sleep(2)  # let transitions end
        target.parent.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(target))
    finally:
        browser.quit()


def main() -> None:
    """Serve, look, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", nargs="?", type=Path, default=ROOT / "captioner" / "examples" / "coffee.jpg")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "screenshots")
    parser.add_argument("--word", type=int, default=8, help="which word to choose, from 0 (%(default)s)")
    parser.add_argument("--port", type=int, default=8765)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(arguments.port)]
    with subprocess.Popen([*command, "--server.headless", "true"], cwd=ROOT) as server:
        try:
            address = f"http://127.0.0.1:{arguments.port}"
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
                    break
                except OSError:
                    time.sleep(0.5)
            for view in VIEWS:
                take(address, arguments.photo.resolve(), arguments.word, view, arguments.output / f"{view}.png")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
