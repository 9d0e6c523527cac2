"""The hidden solutions run: a notebook's code once more as a program, and after it all its solutions, in order.

Run with the notebooks themselves, by `python -m pytest --nbmake docs/learn`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_learn import hidden_solutions

FOLDER = Path(__file__).parent
NOTEBOOKS = sorted(FOLDER.glob("[1-5]-*.ipynb"))  # those of the sixth train for two minutes


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_solutions_run(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code, solutions = [], []
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            code.append(text)
            continue
        for hidden in hidden_solutions(text):
            solutions += re.findall(r"```python\n(.*?)```", hidden, re.DOTALL)
    assert solutions
    program = "\n\n".join([*code, *solutions])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=FOLDER, env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
