"""The signature is checked before anything else, under every secret, both ways in time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from stripe import SignatureVerificationError, WebhookSignature

from postroom.channels.stripe.signature import SignatureInvalid, SignatureVerifier, fingerprint
from postroom.dev.stripe_events import signed
from tests.fixtures.clock import DrivenClock

SECRET = "whsec_test_secret"
BODY = b'{"id":"evt_1","object":"event"}'
T = 1_700_000_000
GOLDEN = "0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd"


def verifier(*secrets: str) -> SignatureVerifier:
    clock = DrivenClock(datetime.fromtimestamp(T, UTC))
    return SignatureVerifier(
        secrets={"self": [SecretStr(s) for s in secrets or (SECRET,)]}, tolerance_s=300, clock=clock
    )


def header(secret: str = SECRET, t: int = T) -> str:
    return signed(BODY, secret, t)["Stripe-Signature"]


def test_the_golden_vector_holds() -> None:
    assert verifier().verify(BODY, f"t={T},v1={GOLDEN}").fingerprint == fingerprint(SecretStr(SECRET))


def test_any_v1_may_match_and_other_schemes_do_not_count() -> None:
    assert verifier().verify(BODY, f"t={T},v1={'0' * 64},v1={GOLDEN},v0=abc").fingerprint
    with pytest.raises(SignatureInvalid):
        verifier().verify(BODY, f"t={T},v0={GOLDEN}")


def test_it_names_the_secret_that_matched_without_giving_it_away() -> None:
    matched = verifier("whsec_old_secret", SECRET).verify(BODY, header()).fingerprint
    assert matched == fingerprint(SecretStr(SECRET))
    assert matched != fingerprint(SecretStr("whsec_old_secret"))
    assert matched not in SECRET


@pytest.mark.parametrize("away_s", [-300, 0, 300])
def test_within_the_tolerance_it_holds(away_s: int) -> None:
    assert verifier().verify(BODY, header(t=T + away_s)).account == "self"


@pytest.mark.parametrize(("away_s", "side"), [(-301, "past"), (301, "future"), (10**9, "future")])
def test_too_old_and_too_far_in_the_future_are_refused(away_s: int, side: str) -> None:
    with pytest.raises(SignatureInvalid, match=side):
        verifier().verify(BODY, header(t=T + away_s))


def test_a_second_timestamp_cannot_make_an_old_signature_young() -> None:
    old = signed(BODY, SECRET, T - 9_999)["Stripe-Signature"].partition(",")[2]
    for forged in (
        f"t={T - 9_999}=x,t={T},{old}",
        f"t={T - 9_999},t={T},{old}",
        f"t={T},t={T - 9_999},{old}",
    ):
        with pytest.raises(SignatureInvalid):
            verifier().verify(BODY, forged)


@pytest.mark.parametrize(
    "malformed",
    [None, "", "t", "t=", "t=x,v1=a", "v1=" + GOLDEN, f"t={T}", f"t={T},v1", f"t={T},v1=é", ",,,", "=" * 50],
)
def test_a_malformed_header_is_refused(malformed: str | None) -> None:
    with pytest.raises(SignatureInvalid):
        verifier().verify(BODY, malformed)


@given(st.text(max_size=200))
def test_no_header_breaks_it(junk: str) -> None:
    with pytest.raises(SignatureInvalid):
        verifier().verify(BODY, junk)


@given(st.binary(max_size=200))
def test_another_body_never_passes(body: bytes) -> None:
    if body != BODY:
        with pytest.raises(SignatureInvalid):
            verifier().verify(body, header())


_TIMES = st.sampled_from([str(T), f" {T}", f"+{T}", str(T - 1), "1_0", "x", "", "-1"])
_ITEMS = st.one_of(
    _TIMES.map(lambda t: f"t={t}"),
    _TIMES.map(lambda t: f"t={t}=x"),
    st.sampled_from([GOLDEN, GOLDEN.upper(), GOLDEN[:-1], "", "a"]).map(lambda v1: f"v1={v1}"),
    st.sampled_from(["t", "v1", "v0=a", "", f" v1={GOLDEN}", f"v1={GOLDEN}=x", "="]),
)


@given(st.lists(_ITEMS, max_size=5).map(",".join))
@example(f"t={T},v1={GOLDEN},t")
def test_a_header_holds_where_it_holds_for_stripes_own_library(header: str) -> None:
    try:
        WebhookSignature.verify_header(BODY, header, SECRET)
        holds = True
    except SignatureVerificationError:
        holds = False
    try:
        verifier().verify(BODY, header)
        assert holds
    except SignatureInvalid:
        assert not holds
