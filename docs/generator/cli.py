"""The command line: from the commands themselves, as `--help` shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from docs.generator.pages import sentence, table
from postroom.cli.application import COMMANDS, load

_MARKUP = re.compile(r"\[/?(?:bold|italic|dim)\]")


def cli_block() -> str:
    return "\n\n".join(part for name in COMMANDS for part in _sections(load(name), f"postroom {name}", "##"))


def _sections(command: Any, path: str, level: str) -> Iterator[str]:
    """A command, or a group and each of its commands."""
    if hasattr(command, "commands"):
        yield f"{level} {path}\n{_text(command.help)}"
        for name, each in command.commands.items():
            yield from _sections(each, f"{path} {name}", level + "#")
    else:
        yield _command(command, path, level)


def _command(command: Any, path: str, level: str) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    usage = " ".join((path, *(_argument(each) for each in arguments), *(["[OPTIONS]"] if options else [])))
    parts = [f"{level} {path}", _text(command.help), f"```\n{usage}\n```"]
    if arguments or options:
        rows = [(f"`{_argument(each)}`", _text(each.help)) for each in arguments]
        rows += [(f"`{_option(each)}`", _text(each.help) + _extra(each)) for each in options]
        parts.append(table(("option", "meaning"), rows))
    if command.epilog:
        lines = [line.strip() for line in _MARKUP.sub("", command.epilog).splitlines() if line.strip()]
        parts.append("```sh\n" + "\n".join(line.replace("\\[", "[") for line in lines[1:]) + "\n```")
    return "\n\n".join(part for part in parts if part)


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    name += "…" if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    return (
        names
        if parameter.is_flag
        else f"{names} {parameter.metavar or _kind(parameter.type_descriptor.annotation)}"
    )


def _kind(annotation: Any) -> str:
    """TEXT, INTEGER, …; of a list, what is in it."""
    inner = [each for each in get_args(annotation) if each is not NoneType]
    if _choices(annotation):
        return "CHOICE"
    if inner:
        return _kind(inner[0])
    known = {str: "TEXT", int: "INTEGER", float: "NUMBER"}
    return known.get(annotation) or str(annotation.__name__).upper()


def _choices(annotation: Any) -> list[str]:
    """The values of an enumeration, also where it may be absent or given several times."""
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(each.value) for each in annotation]
    return [value for each in get_args(annotation) for value in _choices(each)]


def _extra(parameter: Any) -> str:
    """Whether it is required or may be repeated, its values, its default."""
    said = ["Required."] if parameter.required else []
    if choices := _choices(parameter.type_descriptor.annotation):
        said.append(f"One of {', '.join(choices)}.")
    if parameter.multiple:
        said.append("May be repeated.")
    default = parameter.default
    if default not in (None, False, "", (), []) and not callable(default) and not parameter.required:
        said.append(f"Default: `{default}`.")
    return "".join(f" {each}" for each in said)


def _text(text: str | None) -> str:
    return sentence(_MARKUP.sub("", text or ""))
