"""Nothing grows past what a person can hold in the head: 450 lines a module, 70 a function."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
GENERATED = re.compile(r"^-- generated: (\w+)\n.*?^-- end of \1\n", re.MULTILINE | re.DOTALL)
ENDINGS = {".py", ".sql", ".js", ".css", ".html"}


def files() -> list[Path]:
    """Every source file that git tracks, and those it would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=30,
    ).stdout  # fmt: skip
    paths = [ROOT / line for line in listed.splitlines()]
    return [path for path in paths if path.suffix in ENDINGS and path.is_file()]


def functions(path: Path) -> list[tuple[str, int]]:
    """Each function of a module with its lines."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in nodes]


def test_no_module_grows_past_its_limit() -> None:
    found = files()
    assert len(found) > 100
    lines = {
        str(path.relative_to(ROOT)): len(GENERATED.sub("", path.read_text()).splitlines()) for path in found
    }
    assert {name: count for name, count in lines.items() if count > MODULE_LINES_MAX} == {}


def test_no_function_grows_past_its_limit() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{name}": count
        for path in files()
        if path.suffix == ".py"
        for name, count in functions(path)
        if count > FUNCTION_LINES_MAX
    }
    assert long == {}
