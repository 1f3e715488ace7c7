"""Who calls, and whether they may."""

from __future__ import annotations

from typing import Final

from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from postroom.admin.audit import Actor, record
from postroom.admin.tokens import Scope, Token, well_formed
from postroom.api.context import context_of
from postroom.base.clock import Clock
from postroom.base.errors import NotAllowed, NotAuthenticated, PostroomError, TooManyFailures
from postroom.base.log import get_logger, remove_secrets
from postroom.base.rate_limit import FailureLimit, RateLimiter

log = get_logger(__name__)

FAILURES_MAX: Final = 20
AUDITED_REFUSALS_MAX: Final = 10
TOKEN_LENGTH_MAX: Final = 200
SUBJECT_LENGTH_MAX: Final = 200

bearer = HTTPBearer(auto_error=False, description="A token from `postroom token create`.")


class Gate:
    """Checks bearer tokens. Failures are limited per client address and per token, and so are audit rows.

    Beyond the limit a token that was good a moment ago still passes, so that one broken client
    behind a shared address does not lock out its neighbours.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        failures_max: int = FAILURES_MAX,
        audited_refusals_max: int = AUDITED_REFUSALS_MAX,
    ) -> None:
        """Both are limits a minute: for each client and each token, and for each reason of a refusal."""
        self._failed_tokens = FailureLimit(clock=clock, count_max=failures_max)
        self._audited_refusals = RateLimiter(clock=clock, count_max=audited_refusals_max)

    async def admit(self, connection: HTTPConnection, scope: Scope, *, keeps_to_reach: bool) -> Actor:
        """Whoever calls, if they may.

        `keeps_to_reach`: whether what is asked for is kept to what the caller reaches. Where it is not, a
        caller who does not reach everything is refused.
        Errors: `NotAuthenticated`, `NotAllowed`, `TooManyFailures`.
        """
        token = await self.identify(connection)
        if scope not in token.scopes:
            await self._audit(connection, "scope", token=token, scope=scope.value)
            raise NotAllowed(f"the token {token.name!r} lacks the scope {scope}")
        if token.reach.limited and not keeps_to_reach:
            await self._audit(connection, "reach", token=token)
            raise NotAllowed(f"the token {token.name!r} is limited to some tenants or channels; this is not")
        return Actor(token.actor, token.scopes, _request_id(connection), token.id, token.reach)

    async def identify(self, connection: HTTPConnection) -> Token:
        """Whose token it is, whatever it may do. Errors: `NotAuthenticated`, `TooManyFailures`."""
        context = context_of(connection)
        client = _client(connection)
        text = bearer_text(connection)
        if text is None:
            await self._audit(connection, "absent")
            raise NotAuthenticated("send `Authorization: Bearer pr_…`; `postroom token create` makes one")
        wait_s = self._failed_tokens.wait_s(client, text)
        if wait_s and not context.verifier.knows(text):
            raise TooManyFailures("wait before trying again", retry_after_s=wait_s)
        token = await context.verifier.verify(text)
        if token is None:
            self._failed_tokens.record(client, text)
            await self._audit(connection, "unknown", well_formed=well_formed(text))
            raise NotAuthenticated("this token is unknown, expired or revoked")
        return token

    async def _audit(
        self, connection: HTTPConnection, why: str, *, token: Token | None = None, **detail: object
    ) -> None:
        """One entry a refusal, within a limit a minute for each reason: a flood of one hides no other."""
        known = {"client": _client(connection), "why": why, **detail}
        log.warning("auth.refused", **known)
        if not self._audited_refusals.record(why):
            return
        async with context_of(connection).transaction() as conn:
            asked = remove_secrets(_asked(connection))[:SUBJECT_LENGTH_MAX]
            who = Actor(
                token.actor if token else "anonymous",
                request_id=_request_id(connection),
                token_id=token.id if token else None,
            )
            await record(conn, who, "auth.refused", asked, **known)


def _asked(connection: HTTPConnection) -> str:
    return f"{connection.scope.get('method', '')} {connection.url.path}".replace("\x00", "")


def _client(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "unknown"


def _request_id(connection: HTTPConnection) -> str | None:
    return getattr(connection.state, "request_id", None)


def bearer_text(connection: HTTPConnection) -> str | None:
    """What stands after `Bearer`, or None."""
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not 1 <= len(text) <= TOKEN_LENGTH_MAX:
        return None
    return text


async def admit(connection: HTTPConnection, scope: Scope, *, keeps_to_reach: bool = False) -> Actor:
    """For every route; see `Gate.admit`."""
    gate: Gate = connection.app.state.gate
    return await gate.admit(connection, scope, keeps_to_reach=keeps_to_reach)


async def may(connection: HTTPConnection, scope: Scope) -> bool:
    """Whether a caller who need not say who they are has this scope."""
    if bearer_text(connection) is None:
        return False
    gate: Gate = connection.app.state.gate
    try:
        token = await gate.identify(connection)
    except PostroomError:
        return False
    return scope in token.scopes and not token.reach.limited
