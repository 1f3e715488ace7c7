"""The stand-in's webhook endpoints and event destinations, by the SDK that asks the real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from stripe import AIOHTTPClient, InvalidRequestError, PermissionError, StripeClient

from postroom.dev.stripe_api import StripeStandIn

URL = "https://billing.example.com/v1/stripe/webhook"


@pytest.fixture
async def ask(stand_in: StripeStandIn) -> AsyncIterator[Any]:
    http = AIOHTTPClient()

    async def ask(method: str, path: str, key: str = "sk_test_1", **parameters: Any) -> dict[str, Any]:
        client = StripeClient(key, base_addresses={"api": stand_in.url}, http_client=http)
        response = await client.raw_request_async(method, path, **parameters)
        data: dict[str, Any] = response.data
        return data

    yield ask
    await http.close_async()  # type: ignore[no-untyped-call]


async def test_a_secret_is_told_once_and_the_version_is_for_good(ask: Any) -> None:
    made = await ask("post", "/v1/webhook_endpoints", url=URL, enabled_events=["invoice.paid"], connect=True)
    assert made["secret"].startswith("whsec_")
    assert made["application"] is not None
    [listed] = (await ask("get", "/v1/webhook_endpoints"))["data"]
    assert (listed["id"], listed.get("secret")) == (made["id"], None)

    changed = await ask("post", f"/v1/webhook_endpoints/{made['id']}", metadata={"a": "1"}, disabled=True)
    assert (changed["status"], changed["metadata"]) == ("disabled", {"a": "1"})
    with pytest.raises(InvalidRequestError, match="unknown parameter: api_version"):
        await ask("post", f"/v1/webhook_endpoints/{made['id']}", api_version="2026-10-28.endive")


async def test_what_stripe_does_not_know_is_refused_with_its_number(
    ask: Any, stand_in: StripeStandIn
) -> None:
    stand_in.endpoints.unknown_types.add("invoice.paid")
    with pytest.raises(InvalidRequestError, match=r"Invalid enabled_events\[1\]: must be one of account\."):
        await ask(
            "post", "/v1/webhook_endpoints", url=URL, enabled_events=["invoice.created", "invoice.paid"]
        )
    assert stand_in.endpoints.changes == []


async def test_test_and_live_endpoints_do_not_see_each_other(ask: Any) -> None:
    await ask("post", "/v1/webhook_endpoints", url=URL, enabled_events=["*"])
    assert (await ask("get", "/v1/webhook_endpoints", key="sk_live_1"))["data"] == []


async def test_an_event_destination_tells_its_secret_only_when_it_is_made(ask: Any) -> None:
    told = ["webhook_endpoint.signing_secret", "webhook_endpoint.url"]
    made = await ask(
        "post",
        "/v2/core/event_destinations",
        name="postroom",
        type="webhook_endpoint",
        event_payload="thin",
        enabled_events=["v1.billing.meter.no_meter_found"],
        webhook_endpoint={"url": URL},
        include=told,
    )
    assert made["webhook_endpoint"]["signing_secret"].startswith("whsec_")
    [listed] = (await ask("get", "/v2/core/event_destinations", include=told[1:]))["data"]
    assert listed["webhook_endpoint"] == {"url": URL}


async def test_a_restricted_key_is_told_which_right_it_lacks(ask: Any, stand_in: StripeStandIn) -> None:
    stand_in.rights["rk_test_1"] = {"webhook_read"}
    await ask("get", "/v1/webhook_endpoints", key="rk_test_1")
    with pytest.raises(PermissionError, match="rak_webhook_write"):
        await ask("post", "/v1/webhook_endpoints", key="rk_test_1", url=URL, enabled_events=["*"])
