"""The sandbox in which templates and routes are rendered."""

from __future__ import annotations

from types import BuiltinMethodType, FunctionType
from typing import Any

from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Sandbox(ImmutableSandboxedEnvironment):
    """A dot means a key first: `object.items` is Stripe's list, not the method of the mapping.

    A mapping's `get`, which templates call for each optional field, is known to be safe: asking each time
    whether it is was a third of a rendering. So are `trusted`, functions of our own.
    """

    trusted: frozenset[object] = frozenset()

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            if attribute in obj:
                return obj[attribute]
            if attribute == "get":
                return obj.get
        return super().getattr(obj, attribute)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if (type(obj) is FunctionType and obj in self.trusted) or (
            type(obj) is BuiltinMethodType and obj.__name__ == "get" and type(obj.__self__) is dict
        ):
            kwargs.pop("_loop_vars", None)  # Jinja's own
            kwargs.pop("_block_vars", None)
            return obj(*args, **kwargs)
        return super().call(context, obj, *args, **kwargs)
