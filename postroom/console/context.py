"""What the console's pages work with."""

from __future__ import annotations

from dataclasses import dataclass

from postroom.admin.request_context import RequestContext
from postroom.base.rate_limit import FailureLimit
from postroom.console.view.rates import RateMeter


@dataclass(frozen=True, slots=True, kw_only=True)
class Console(RequestContext):
    """`readiness` and `verifier` are those that the API uses too.

    `gauges` counts less far than that of the metrics: a person who waits for a page needs no more.
    """

    failed_sign_ins: FailureLimit
    rates: RateMeter
