"""Values in the routes file: Jinja2 in a sandbox, over `event`, `object`, `previous` and `customer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.exceptions import UndefinedError

from postroom.base.sandbox import Sandbox

NAMES: Final = ("event", "object", "previous", "customer")

Context = Mapping[str, Any]
Renderer = Callable[[Context], Any]


_ENVIRONMENT = Sandbox(undefined=StrictUndefined, autoescape=False)


def compile_value(value: Any) -> Renderer:
    """A renderer of a value of the routes file; tables and lists are rendered inside.

    A text that is one expression and nothing else keeps the type of its value.
    Errors: `jinja2.TemplateSyntaxError`, for names that are not there as well.
    """
    if isinstance(value, str):
        return _compile_text(value)
    if isinstance(value, dict):
        fields = {name: compile_value(item) for name, item in value.items()}
        return lambda context: {name: render(context) for name, render in fields.items()}
    if isinstance(value, list):
        items = [compile_value(item) for item in value]
        return lambda context: [render(context) for render in items]
    return lambda _context: value


def is_expression(source: str) -> bool:
    """Whether the text is one `{{ expression }}` and nothing else."""
    body = _ENVIRONMENT.parse(source).body
    return (
        len(body) == 1
        and isinstance(body[0], nodes.Output)
        and len(body[0].nodes) == 1
        and not isinstance(body[0].nodes[0], nodes.TemplateData)
        and source.startswith("{{")
        and source.endswith("}}")
    )


def mentions(value: Any, name: str) -> bool:
    """Whether an expression in it, or in tables and lists inside, looks at this name."""
    match value:
        case str():
            return name in meta.find_undeclared_variables(_ENVIRONMENT.parse(value))
        case dict():
            return any(mentions(each, name) for each in value.values())
        case list():
            return any(mentions(each, name) for each in value)
        case _:
            return False


def _is_constant(source: str) -> bool:
    body = _ENVIRONMENT.parse(source).body
    return all(
        isinstance(each, nodes.Output) and all(isinstance(one, nodes.TemplateData) for one in each.nodes)
        for each in body
    )


def _path(source: str) -> list[str] | None:
    """The names of an expression that only looks up keys, as `object.customer.email`; None for any other."""
    names: list[str] = []
    node: nodes.Node = _ENVIRONMENT.parse(source).body[0].nodes[0]  # type: ignore[attr-defined]
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if not isinstance(name, str):
            return None
        names.append(name)
        node = node.node
    if not isinstance(node, nodes.Name) or node.name not in NAMES:
        return None  # Jinja has names of its own
    return [node.name, *reversed(names)]


def _lookup(path: Sequence[str], otherwise: Renderer) -> Renderer:
    """Keys of mappings need no sandbox. Where one is missing, Jinja says what is wrong."""
    first, *rest = path

    def render(context: Context) -> Any:
        value = context[first]
        for name in rest:
            if type(value) is not dict or name not in value:
                return otherwise(context)
            value = value[name]
        return value

    return render


def _compile_text(source: str) -> Renderer:
    unknown = meta.find_undeclared_variables(_ENVIRONMENT.parse(source)) - set(NAMES)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise TemplateSyntaxError(f"unknown name {names}; known: {', '.join(NAMES)}", 1)
    if not is_expression(source):
        template = _ENVIRONMENT.from_string(source)
        if _is_constant(source):  # as most tenants, templates and datasets are
            text = template.render()
            return lambda _context: text
        return template.render
    inner = source[2:-2].removeprefix("-").removeprefix("+").removesuffix("-")
    render = _evaluate(_ENVIRONMENT.compile_expression(inner, undefined_to_none=False), source)
    path = _path(source)
    return render if path is None else _lookup(path, render)


def _evaluate(expression: Callable[..., Any], source: str) -> Renderer:
    def render(context: Context) -> Any:
        value = expression(context)
        if isinstance(value, Undefined):
            raise UndefinedError(f"{source} has no value")
        return value

    return render
