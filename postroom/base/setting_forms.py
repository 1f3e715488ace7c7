"""Texts of a certain form, refused with words and an example: nobody reads a pattern in a hurry."""

from __future__ import annotations

import re

from pydantic import AfterValidator


def of_form(pattern: str, wanted: str) -> AfterValidator:
    """Refuse what does not match as a whole. `wanted`: what it should be, with an example."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"not {wanted}")
        return value

    return AfterValidator(check)
