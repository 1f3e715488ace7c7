"""Who may run SQL: a module loads the statements in `queries/` beside it, and no others.

Each file is loaded by one module, under a name that can be searched for. So whoever changes a statement
finds the one place that runs it, and whoever reads a module finds every statement that it runs.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "postroom"
IN_PYTHON = {
    ("postroom/base/migrate.py", "create schema postroom"),
    ("postroom/base/migrate.py", "set local lock_timeout = '"),
    ("postroom/dev/up.py", "select postroom.publish(…) i"),
    ("postroom/health/readiness.py", "select 1"),
    ("postroom/postgres/cluster.py", 'create database "'),
    ("postroom/postgres/database.py", "create database "),
    ("postroom/postgres/database.py", "drop database if exists "),
    ("postroom/worker/wakeup.py", "select 1"),
}
"""Their beginnings: what sets up a schema or a database, asks for a sign of life, or is shown to a person."""
STATEMENT = re.compile(
    r"\s*(select |insert into |update [\w.]+ set |delete from |merge into |truncate |with \w+ as |copy "
    r"|(create|alter|drop) (or replace |table|index|schema|database|function|role|type)"
    r"|grant |revoke |set local |lock table )"
)


def modules() -> list[tuple[str, ast.Module]]:
    found = [
        (str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))
    ]
    assert len(found) > 200
    return found


def loads(tree: ast.Module) -> Iterator[ast.Call]:
    """Every call of `query`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and "query" in (
            getattr(node.func, "id", ""),
            getattr(node.func, "attr", ""),
        ):
            yield node


def is_literal(call: ast.Call) -> bool:
    match call.args:
        case [ast.Name("__package__"), ast.Constant(str())]:
            return not call.keywords
    return False


def test_a_module_loads_statements_of_its_own_room_by_a_literal_name() -> None:
    wrong = [
        f"{module}: {ast.unparse(call)}"
        for module, tree in modules()
        for call in loads(tree)
        if not is_literal(call)
    ]
    assert wrong == []


def test_each_statement_is_loaded_by_one_module() -> None:
    loaded: dict[str, set[str]] = defaultdict(set)
    for module, tree in modules():
        for call in filter(is_literal, loads(tree)):
            name = ast.literal_eval(call.args[1])
            loaded[str(Path(module).parent / "queries" / f"{name}.sql")].add(module)
    files = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.sql")}
    assert len(files) > 100
    assert files - loaded.keys() == set(), "nobody loads these"
    assert loaded.keys() - files == set(), "these are not there"
    assert {path: by for path, by in loaded.items() if len(by) > 1} == {}


def texts(tree: ast.Module) -> Iterator[str]:
    """String literals and the beginnings of f-strings, without docstrings."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    documents |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def test_python_holds_no_sql_but_utility_statements() -> None:
    every = ((module, text) for module, tree in modules() for text in texts(tree))
    assert {(module, text[:28]) for module, text in every if STATEMENT.match(text)} == IN_PYTHON
