"""Draw, in docs/ARCHITECTURE.md, which part of the project imports which: python -m docs.draw_imports

The drawing is Mermaid, which GitHub and most editors show as a picture. A test compares it with the imports.
"""

import ast
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ARCHITECTURE.md"
BEGIN, END = "```mermaid\n", "```\n"


def imported(path: Path, at_once: bool = False) -> set[str]:
    """The modules that a file imports, by their full names; of `from a import b`, "a.b".

    Args:
        path: of the file.
        at_once: whether to leave out what it imports only when it is needed, or for its types.
    """
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


def part_of(module: str) -> str:
    """The part of the drawing that a module belongs to: a folder, or a file that lies directly in captioner/."""
    names = module.split(".")
    if names[0] in ("app", "benchmarks"):
        return names[0]
    return ".".join(names[:2])


def imports(at_once: bool = False) -> dict[str, set[str]]:
    """The parts that each part imports; nothing of other packages. `at_once` as in `imported`."""
    files = [
        ROOT / "app.py",
        *(path for top in ("captioner", "train", "benchmarks") for path in (ROOT / top).rglob("*.py")),
    ]
    parts: dict[str, set[str]] = {}
    for path in sorted(files):
        if path.name != "__init__.py":
            part = part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
            parts.setdefault(part, set()).update(map(part_of, imported(path, at_once)))
    public = parts_of_the_library()
    return {
        part: {name for used in uses for name in (public.get(used, {used})) if name in parts and name != part}
        for part, uses in parts.items()
    }


def parts_of_the_library() -> dict[str, set[str]]:
    """Where each public name of `captioner` comes from: "captioner.Captioner" -> {"captioner.captioner"}."""
    tree = ast.parse((ROOT / "captioner" / "__init__.py").read_text(encoding="utf-8"))
    return {
        f"captioner.{alias.asname or alias.name}": {f"captioner.{node.module}"}
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }


def reachable(graph: dict[str, set[str]], starts: Iterable[str]) -> set[str]:
    """All parts that imports lead to from these, themselves included."""
    found, waiting = set(), list(starts)
    while waiting:
        part = waiting.pop()
        if part not in found:
            found.add(part)
            waiting += graph.get(part, ())
    return found


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The graph without the arrows that a longer way makes superfluous."""
    return {
        part: {used for used in uses if not any(used in reachable(graph, [other]) for other in uses - {used})}
        for part, uses in graph.items()
    }


def draw() -> str:
    """The drawing: an arrow from each part to those that it needs, but for those it needs by way of others.

    Dotted arrows lead to what is imported only when it is needed.
    """
    graph, later = imports(at_once=True), imports()
    lines = ["flowchart TD"]
    for package in ("captioner", "train"):
        lines.append(f"  subgraph {package}")
        lines += [f"    {node(part)}[{label(part)}]" for part in sorted(graph) if part.startswith(f"{package}.")]
        lines.append("  end")
    arrows = reduced(graph)
    for part in sorted(graph):
        lines += [f"  {node(part)} --> {node(used)}" for used in sorted(arrows[part])]
        lines += [f"  {node(part)} -.-> {node(used)}" for used in sorted(later[part] - reachable(graph, [part]))]
    return "\n".join(lines) + "\n"


def node(part: str) -> str:
    """A part's name in Mermaid's language, which gives dots a meaning of its own."""
    return part.replace(".", "_")


def label(part: str) -> str:
    """What a part is called in the drawing: a folder ends in a slash."""
    name = part.split(".")[1]
    return f"{name}/" if (ROOT / part.replace(".", "/")).is_dir() else name


def with_drawing(text: str, drawing: str) -> str:
    """The page's text with another drawing."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + drawing + END + after


if __name__ == "__main__":
    PAGE.write_text(with_drawing(PAGE.read_text(encoding="utf-8"), draw()), encoding="utf-8")
