def plan_of(subscription: dict) -> str:
    return subscription["items"]["data"][0]["price"].get("nickname") or "standard"
