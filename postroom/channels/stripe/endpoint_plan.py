"""What has to change at Stripe so that its endpoints are as the settings want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from postroom.base.stripe_account import OWN_ACCOUNT
from postroom.base.stripe_settings import setting_of
from postroom.channels.stripe.endpoints import NOT_KEPT, Endpoint, Kind
from postroom.channels.stripe.wanted import WantedTypes, mirror_types


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The endpoints of one account as they should be.

    `secrets`: fingerprints of those that the settings have. `upgrade_to`: a second version beside that one.
    `delete_old`: those of other versions end. `new_secret`: all are replaced by new ones.
    """

    via: str
    url: str | None
    api_version: str | None
    live: bool
    connect: bool
    types: WantedTypes
    secrets: frozenset[str]
    upgrade_to: str | None = None
    delete_old: bool = False
    new_secret: bool = False

    @property
    def kinds(self) -> Sequence[Kind]:
        snapshot = [Kind.OWN, *([Kind.CONNECT] if self.connect else [])] if self.types.snapshot else []
        return [*snapshot, *([Kind.THIN] if self.types.thin else [])]

    def wanted(self, kind: Kind) -> frozenset[str]:
        return self.types.thin if kind is Kind.THIN else self.types.snapshot

    @property
    def command(self) -> str:
        return "postroom stripe setup" + ("" if self.via == OWN_ACCOUNT else f" --account {self.via}")


@dataclass(frozen=True, slots=True)
class Found:
    """What Stripe has. `thin_fault`: why its destinations of thin events could not be read."""

    endpoints: Sequence[Endpoint]
    thin_fault: str | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """A new endpoint. `replaces`: the one that is deleted once this one's secret was kept."""

    kind: Kind
    url: str | None
    api_version: str | None
    types: tuple[str, ...]
    replaces: Endpoint | None = None

    def described(self) -> dict[str, object]:
        replaced = self.replaces.id if self.replaces else None
        told = {"url": self.url, "api_version": self.api_version, "types": self.types, "replaces": replaced}
        return {"action": "create", "kind": self.kind, **told}

    def __str__(self) -> str:
        version = f", version {self.api_version}" if self.api_version else ""
        instead = f", instead of {self.replaces.id}" if self.replaces else ""
        return f"create {self.kind} endpoint {self.url}{version}, {len(self.types)} types{instead}"


@dataclass(frozen=True, slots=True)
class Change:
    """An endpoint whose types or status are others. `types`: all that it should have."""

    endpoint: Endpoint
    types: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def described(self) -> dict[str, object]:
        told = {"added": self.added, "removed": self.removed, "enabled": not self.endpoint.enabled}
        return {"action": "change", "kind": self.endpoint.kind, "endpoint_id": self.endpoint.id, **told}

    def __str__(self) -> str:
        signs = [*(f"+{each}" for each in self.added), *(f"-{each}" for each in self.removed)]
        told = [*(["enable it"] if not self.endpoint.enabled else []), *signs]
        return f"change {self.endpoint.kind} endpoint {self.endpoint.id}: {' '.join(told)}"


@dataclass(frozen=True, slots=True)
class Delete:
    """An endpoint of another version: disabled first."""

    endpoint: Endpoint

    def described(self) -> dict[str, object]:
        told = {"endpoint_id": self.endpoint.id, "api_version": self.endpoint.api_version}
        return {"action": "delete", "kind": self.endpoint.kind, **told}

    def __str__(self) -> str:
        version = self.endpoint.api_version or "the account's version"
        return f"disable and delete {self.endpoint.kind} endpoint {self.endpoint.id} of {version}"


Step = Create | Change | Delete


@dataclass(frozen=True, slots=True)
class Remark:
    """What a person should know and no step mends. `wrong`: events are lost by it."""

    text: str
    command: str | None = None
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]
    remarks: tuple[Remark, ...]


def plan_endpoints(found: Found, wish: Wish) -> Plan:
    """Pure: the same endpoints and the same wish give the same plan; what is as wished needs no step."""
    each = list(_each(found, wish))
    steps = [step for step in each if not isinstance(step, Remark)]
    return Plan(tuple(steps), tuple(remark for remark in each if isinstance(remark, Remark)))


def _each(found: Found, wish: Wish) -> Iterator[Step | Remark]:
    for pattern, place in wish.types.unknown_patterns.items():
        yield Remark(
            f"'{pattern}' ({place}) means no type that this release knows: name the types", wrong=True
        )
    if found.thin_fault is not None:
        yield Remark(f"thin events: {found.thin_fault}", wrong=True)
    for kind in Kind:
        if kind is Kind.THIN and found.thin_fault is not None:
            continue
        ours = [each for each in found.endpoints if each.kind is kind and each.leads_to(wish.url)]
        if kind in wish.kinds:
            yield from _of_kind(kind, ours, wish)
        else:
            for each in ours:
                yield Remark(f"{kind} endpoint {each.id} is not wanted by the settings; it stays")


def _of_kind(kind: Kind, ours: Sequence[Endpoint], wish: Wish) -> Iterator[Step | Remark]:
    versions: list[str | None] = [None] if kind is Kind.THIN else [wish.api_version]
    if wish.upgrade_to is not None and kind is not Kind.THIN:
        versions.append(wish.upgrade_to)
    used, ready = list[Endpoint](), True
    for version in versions:
        fitting = [each for each in ours if version in (None, each.api_version)]
        if not fitting:
            ready = False
            url = _url(wish.url, version, taken={each.url for each in ours})
            yield Create(kind, url, version, tuple(sorted(wish.wanted(kind))))
            continue
        # Of several, the one whose events are believed here, then the oldest.
        best = min(fitting, key=lambda each: (each.secret not in wish.secrets, not each.enabled))
        used.append(best)
        ready = ready and best.enabled and best.secret in wish.secrets
        yield from _kept(best, wish)
    for other in ours:
        if other not in used:
            yield from _left_over(other, wish, ready=ready)


def _kept(endpoint: Endpoint, wish: Wish) -> Iterator[Step | Remark]:
    wanted = wish.wanted(endpoint.kind)
    wanted -= endpoint.unknown_types - wish.types.named_by.keys()
    types = tuple(sorted(wanted))
    if wish.new_secret:
        yield Create(endpoint.kind, endpoint.url, endpoint.api_version, types, endpoint)
        return
    has = endpoint.types
    if "*" in has and wanted == mirror_types():
        has = wanted
    added, removed = tuple(sorted(wanted - has)), tuple(sorted(has - wanted))
    if added or removed or not endpoint.enabled:
        yield Change(endpoint, types, added, removed)
    if endpoint.secret not in wish.secrets:
        yield _secret_remark(endpoint, wish)
    if endpoint.kind is Kind.THIN and wish.connect and not endpoint.connected:
        text = f"thin endpoint {endpoint.id} gets no events of connected accounts: it has to be made anew"
        yield Remark(text, f"{wish.command} --new-secret", wrong=True)


def _secret_remark(endpoint: Endpoint, wish: Wish) -> Remark:
    """A process that only has the key, such as the runner, cannot tell which secrets `serve` has."""
    setting, again = setting_of(wish.via, "WEBHOOK_SECRETS"), f"{wish.command} --new-secret"
    whose = f"the secret of {endpoint.kind} endpoint {endpoint.id}"
    if endpoint.secret == NOT_KEPT:
        return Remark(f"setup ended before {whose} was kept for sure", again, wrong=True)
    if not wish.secrets or endpoint.secret is None:
        return Remark(f"{whose} cannot be compared with {setting} here")
    rolled = "unless it was rolled in Stripe's dashboard, its events are refused"
    return Remark(f"{whose} is not in {setting}: {rolled}", again, wrong=True)


def _left_over(endpoint: Endpoint, wish: Wish, *, ready: bool) -> Iterator[Step | Remark]:
    if wish.url is None:
        return  # it may lead to another installation
    version = endpoint.api_version or "the account's version"
    beside = f"{endpoint.kind} endpoint {endpoint.id} of {version} is beside the one that is wanted"
    if not wish.delete_old:
        yield Remark(beside, f"{wish.command} --delete-old")
    elif ready:
        yield Delete(endpoint)
    else:
        yield Remark(f"{beside}, and stays: that one does not receive yet", wish.command, wrong=True)


def _url(url: str | None, version: str | None, *, taken: set[str]) -> str | None:
    """Told apart by the version where there is one already, as Stripe's guide to upgrades has it."""
    return f"{url}?version={version}" if url in taken and version else url
