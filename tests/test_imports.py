"""What a command or a host program loads: nothing that its task does not need, since it waits for that."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

from captioner.imports import COMPILER, CompilerLater, compiler_left_out

ROOT = Path(__file__).parents[1]
# Packages that captioning a JPEG needs nothing of.
NEVER = ("av", "matplotlib", "nltk", "pi_heif", "pyarrow", "streamlit", "timm")
# torch's compiler, which takes as long to import as the rest of torch, and what it brings.
OF_COMPILER = ("sympy", "torch._dynamo", "torch._inductor")


@functools.cache
def loaded(code: str) -> set[str]:
    """Names of the modules that a fresh process has loaded once it has run a piece of code."""
    code += "; import sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "others", "most"),
    [
        ("import captioner", ("torchvision",), 100),
        ("from captioner.__main__ import main; main(['captioner/examples/cat.jpg'])", (), 500),
    ],
    ids=["the library", "the command"],
)
def test_only_what_is_needed_is_loaded(code, others, most):
    modules = loaded(code)
    assert "captioner.captioner" in modules
    for name in (*NEVER, *OF_COMPILER, *others):
        assert name not in modules, f"{name} was loaded"
    assert len(modules - loaded("import torch")) < most


def test_what_torchvision_left_out_is_there_when_it_is_wanted():
    code = """
import sys
from captioner.imports import import_torchvision
torchvision = import_torchvision()
assert "torch._dynamo.utils" not in sys.modules
from torchvision.ops import roi_align
assert roi_align.__globals__["is_compile_supported"]("cpu") in (True, False)
import torch._dynamo.utils as utils
assert utils.__file__ and utils.is_compile_supported is not roi_align.__globals__["is_compile_supported"]"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, check=True)


def test_whoever_imports_the_compiler_meanwhile_gets_it(monkeypatch):
    stand_in = CompilerLater(COMPILER)
    monkeypatch.setitem(sys.modules, COMPILER, stand_in)
    assert stand_in.counters is sys.modules[COMPILER].counters
    assert sys.modules[COMPILER] is not stand_in
    with compiler_left_out():
        assert sys.modules[COMPILER].counters is stand_in.counters
