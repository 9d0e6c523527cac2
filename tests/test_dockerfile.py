"""The Dockerfile's own steps, in a fresh directory, as the plain user that a Space runs them as.

There need be no Docker: paths below /home/user are moved to the fresh directory, everything else is as it stands.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.visitor import Visitor

from .browser import ROOT, free_port

HOME = "/home/user"
UID = 1000


def instructions() -> list[tuple[str, str]]:
    """Names and arguments of the Dockerfile's instructions, in order."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def python_for_user() -> str | None:
    """A Python 3.11 that a plain user may run and make virtual environments with."""
    for folder in ("/usr/local/bin", "/usr/bin", *os.environ["PATH"].split(":")):
        python = Path(folder, "python3.11")
        if python.exists():
            done = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, **as_user())
            if done.returncode == 0:
                return str(python)
    return None


def as_user() -> dict:
    """Arguments of subprocess that make a process run as uid 1000, where this one may do that."""
    return {"user": UID, "group": UID, "extra_groups": [], "cwd": "/"} if os.geteuid() == 0 else {"cwd": "/"}


@dataclass
class Image:
    """What building the Dockerfile gives, below a directory instead of /."""

    root: Path
    checkout: Path
    environment: dict[str, str]
    folder: Path = Path("/")
    user: str = "root"
    start: list[str] = field(default_factory=list)
    check: list[str] = field(default_factory=list)

    def moved(self, text: str) -> str:
        """A text with the user's home where it is here."""
        return text.replace(HOME, str(self.root / "home"))

    def run(self, command: str | list[str], **options) -> subprocess.CompletedProcess:
        """A command as the image's user, in its folder."""
        settings = as_user() | {"cwd": self.folder, "env": self.environment, "capture_output": True, "text": True}
        return subprocess.run(command, shell=isinstance(command, str), **(settings | options))

    def build(self, arguments: dict[str, str]) -> None:
        """Follow the instructions; `arguments` are those of docker build --build-arg."""
        for name, rest in instructions():
            getattr(self, f"do_{name.lower()}")(rest, arguments)

    def do_from(self, rest: str, _: dict) -> None:
        assert rest == "python:3.11-slim"

    def do_arg(self, rest: str, arguments: dict[str, str]) -> None:
        name, _, default = rest.partition("=")
        self.environment[name] = arguments.get(name, default)

    def do_run(self, rest: str, _: dict) -> None:
        if self.user == "root":
            assert rest == f"useradd --create-home --uid {UID} user"  # here, the user is there already
            return
        done = self.run(self.moved(rest), timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]

    def do_user(self, rest: str, _: dict) -> None:
        self.user = rest

    def do_workdir(self, rest: str, _: dict) -> None:
        self.folder = Path(self.moved(rest))
        self.folder.mkdir(parents=True)
        self.give(self.folder)

    def do_env(self, rest: str, _: dict) -> None:
        for setting in shlex.split(rest):
            name, _, value = setting.partition("=")
            self.environment[name] = self.moved(value).replace("$PATH", self.environment["PATH"])

    def do_copy(self, rest: str, _: dict) -> None:
        owner, *sources, target = rest.split()
        assert owner == "--chown=user"
        for source in sources:
            to = self.folder / target if target not in (".", "./") else self.folder / source
            if (self.checkout / source).is_dir():
                shutil.copytree(self.checkout / source, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(self.checkout / source, to)

    def do_expose(self, rest: str, _: dict) -> None:
        assert rest == "8501"

    def do_healthcheck(self, rest: str, _: dict) -> None:
        self.check = json.loads(re.search(r"CMD (\[.*\])", rest).group(1))

    def do_cmd(self, rest: str, _: dict) -> None:
        self.start = json.loads(rest)

    @staticmethod
    def give(path: Path) -> None:
        """Let the user own a directory, and reach it."""
        if os.geteuid() == 0:
            os.chown(path, UID, UID)


def make_read_only(folder: Path) -> None:
    """Take the right to write from a folder and everything in it."""
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Image:
    if os.geteuid() not in (0, UID):
        pytest.skip("needs to run as root or as uid 1000")
    python = python_for_user()
    if not python:
        pytest.skip("needs a Python 3.11 with venv that every user may run")
    root = tmp_path_factory.mktemp("image")
    for folder in [root, *root.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    names = root / "bin"  # the image's `python` is 3.11
    names.mkdir()
    (names / "python").symlink_to(python)
    (root / "home").mkdir()
    Image.give(root / "home")
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP", "http"))}
    environment = kept | {"PATH": f"{names}:/usr/bin:/bin", "HOME": str(root / "home"), "LANG": "C.UTF-8"}
    image = Image(root, ROOT, environment)
    index = os.environ.get("TORCH_INDEX")  # as docker build --build-arg would name another
    if not index and not reachable("download.pytorch.org"):
        pytest.skip("needs the index of the Dockerfile, or another one in TORCH_INDEX")
    image.build({"TORCH_INDEX": index} if index else {})
    make_read_only(image.folder)
    return image


def reachable(host: str) -> bool:
    """Whether a host answers."""
    try:
        socket.create_connection((host, 443), timeout=5).close()
    except OSError:
        return False
    return True


def test_only_what_the_page_needs_is_copied():
    copied = {source for name, rest in instructions() if name == "COPY" for source in rest.split()[1:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed


def test_the_recipe_serves_the_page_to_visitors(image, on_the_page, examples):
    assert image.user == "user"
    port = str(free_port())
    image.environment["STREAMLIT_SERVER_PORT"] = port  # as docker run --env would
    before = set(image.root.rglob("*"))
    log = (image.root / "log").open("w")
    settings = as_user() | {"cwd": image.folder, "env": image.environment}
    with subprocess.Popen(image.start, stdout=log, stderr=log, **settings) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(120):
                if image.run(image.check).returncode == 0:
                    break
                time.sleep(0.5)
            assert urllib.request.urlopen(f"{address}/_stcore/health").read() == b"ok"
            with Visitor(address) as visitor:
                visitor.upload("cat.jpg", examples[0].read_bytes())
                assert visitor.caption == on_the_page.caption(examples[0]).text
        finally:
            server.terminate()
    told = (image.root / "log").read_text()
    assert "Traceback" not in told
    assert "cat.jpg" not in told  # what visitors upload is nobody's business
    written = {path.relative_to(image.root) for path in set(image.root.rglob("*")) - before} - {Path("log")}
    assert not written
    assert image.run(image.check).returncode != 0  # and it tells when the page is gone


def test_the_image_is_as_small_as_the_readme_says(image):
    packages = sum(path.lstat().st_size for path in (image.root / "home" / "venv").rglob("*") if path.is_file()) / 1e9
    said = float(re.search(r"([\d.]+) GB of packages", (ROOT / "docs" / "hosting.md").read_text()).group(1))
    print(f"{packages:.2f} GB of packages, docs/hosting.md says {said}")
    assert packages == pytest.approx(said, rel=0.15)
