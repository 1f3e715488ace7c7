"""What a caller may ask the channel to send, and everything that is refused at publish time."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.headerregistry import Address
from typing import Any

import msgspec

from postroom.base.errors import InvalidPayload
from postroom.channels.email import address
from postroom.channels.email.address import refuse_line_breaks
from postroom.outbox.model import read_body

RECIPIENTS_MAX = 50
ATTACHMENTS_MAX = 20
HEADERS_MAX = 20
HEADER_CHARACTERS_MAX = 900
SUBJECT_CHARACTERS_MAX = 500
TEXT_CHARACTERS_MAX = 1_000_000
LOCALES_MAX = 20
URL_CHARACTERS_MAX = 2_000
LOCALE_CHARACTERS_MAX = 40

# Headers that a caller may set. All others are ours or could redirect, impersonate or re-encode the mail.
_HEADER_ALLOWED = re.compile(
    r"X-[A-Za-z0-9-]{1,60}|List-(Unsubscribe|Unsubscribe-Post|Id|Help|Archive)"
    r"|In-Reply-To|References|Auto-Submitted|Precedence|Feedback-ID",
    re.IGNORECASE,
)
# Those in which words may be encoded (RFC 2047). The others are read as they stand.
_HEADER_OF_WORDS = re.compile(r"X-.*|List-Id", re.IGNORECASE)
_HEADER_OURS = frozenset({"x-postroom-id", "x-correlation-id"})
_STRIPES = re.compile(r"https://([a-z0-9-]+\.)+stripe\.com/[!-\[\]-~]*")
CATEGORY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
CATEGORY_RULE = "a category is a to z, 0 to 9, - and _, at most 40, and does not begin with - or _"
_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}", re.IGNORECASE)
_WRONG_TYPE_PATH = re.compile(r"(.*) - at `\$\.?(.*)`$", re.DOTALL)


class AttachmentPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`content_base64` or `url`. A `url` that is null or empty attaches nothing: invoices may have no PDF."""

    filename: str
    content_base64: str | None = None
    content_type: str | None = None
    url: str | msgspec.UnsetType | None = msgspec.UNSET


class EmailPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of the JSON; what it means is checked by `parse`."""

    to: str | list[str]
    template: str | None = None
    data: dict[str, Any] | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    cc: str | list[str] = ()  # type: ignore[assignment]  # an immutable default for an optional list
    bcc: str | list[str] = ()  # type: ignore[assignment]
    reply_to: str | None = None
    headers: dict[str, str] = {}
    attachments: list[AttachmentPayload] = []
    category: str | None = None
    locale: str | list[str] | None = None


class _Unread(EmailPayload, frozen=True, forbid_unknown_fields=True):
    """What fills a template is read by the process that does it."""

    data: msgspec.Raw = msgspec.Raw(b"{}")  # type: ignore[assignment]  # wider than the shape's


class _Addressed(msgspec.Struct):
    to: str | list[str] = ""


_read_unread = msgspec.json.Decoder(_Unread).decode
_read_addressed = msgspec.json.Decoder(_Addressed).decode


@dataclass(frozen=True, slots=True)
class Attachment:
    filename: str
    maintype: str
    subtype: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """Where an attachment is to be fetched from before the mail is sent."""

    filename: str
    url: str


@dataclass(frozen=True, slots=True)
class Email:
    """A payload that can be sent. Either `template` is set, or `subject` with `text`, `html` or both."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: Address | None
    template: str | None
    data: dict[str, Any] | msgspec.Raw
    subject: str
    text: str | None
    html: str | None
    headers: tuple[tuple[str, str], ...]
    attachments: tuple[Attachment, ...]
    category: str | None = None
    links: tuple[Link, ...] = ()
    locale: tuple[str, ...] = ()
    """Languages that a template may be filled in, the preferred one first."""

    def with_data(self, **more: Any) -> Email:
        """More of it to fill a template with."""
        data = msgspec.json.decode(self.data) if isinstance(self.data, msgspec.Raw) else self.data
        return replace(self, data={**data, **more})


def parse_text(text: str, *, attachments_bytes_max: int) -> Email:
    """As `parse`, of JSON text; its `data`, most of it, stays the text that it is. Errors: as `parse`."""
    try:
        raw = _read_unread(text)
    except (msgspec.MsgspecError, RecursionError):
        return parse(read_body(text), attachments_bytes_max=attachments_bytes_max)  # says what is wrong
    if raw.template is None or not bytes(raw.data).startswith(b"{"):
        return parse(read_body(text), attachments_bytes_max=attachments_bytes_max)
    return _checked(raw, attachments_bytes_max)


def parse(payload: dict[str, Any], *, attachments_bytes_max: int) -> Email:
    """Check a payload and turn it into an `Email`. Whether the template exists is not looked at.

    Errors: `InvalidPayload` naming the field.
    """
    return _checked(_shape(payload), attachments_bytes_max)


def _checked(raw: EmailPayload, attachments_bytes_max: int) -> Email:
    to, cc, bcc = (_addresses(getattr(raw, name), name) for name in ("to", "cc", "bcc"))
    if not to:
        raise InvalidPayload("to names nobody", field="to")
    if len(to) + len(cc) + len(bcc) > RECIPIENTS_MAX:
        raise InvalidPayload(f"more than {RECIPIENTS_MAX} recipients", field="to")
    _check_content(raw)
    _check_category(raw, receivers=len(to) + len(cc) + len(bcc))
    return Email(
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=address.recipient(raw.reply_to, field="reply_to") if raw.reply_to else None,
        template=raw.template,
        data=raw.data or {},
        subject=raw.subject or "",
        text=raw.text,
        html=raw.html,
        headers=tuple(_headers(raw.headers)),
        attachments=tuple(_attachments(raw.attachments, attachments_bytes_max)),
        links=tuple(_links(raw.attachments)),
        category=raw.category,
        locale=_locale(raw),
    )


def first_domain(text: str) -> str | None:
    """The domain of the first address in `to`, of a payload as JSON text; None where there is none.

    Nothing else of it is read, whatever it holds.
    """
    try:
        to = _read_addressed(text).to
    except (msgspec.MsgspecError, RecursionError):
        return None
    return address.domain_of(to if isinstance(to, str) else next(iter(to), ""))


def _shape(payload: dict[str, Any]) -> EmailPayload:
    known = EmailPayload.__struct_fields__
    unknown = sorted(set(payload) - set(known))
    if unknown:
        raise InvalidPayload(f"unknown field {unknown[0]!r}; known are {', '.join(known)}", field=unknown[0])
    if "to" not in payload:
        raise InvalidPayload("to is missing", field="to")
    try:
        return msgspec.convert(payload, EmailPayload)
    except msgspec.ValidationError as error:
        found = _WRONG_TYPE_PATH.match(str(error))
        detail, field = found.groups() if found else (str(error), "payload")
        raise InvalidPayload(f"{field}: {detail}", field=field) from None


def _check_content(raw: EmailPayload) -> None:
    """A template, or words of the caller's own; never both, never neither."""
    own = [name for name in ("subject", "text", "html") if getattr(raw, name) is not None]
    if raw.template is not None:
        if own:
            raise InvalidPayload(f"{own[0]} comes from the template; leave one of the two out", field=own[0])
        return
    if raw.data is not None:
        raise InvalidPayload("data is for a template, and none is named", field="data")
    if not raw.text and not raw.html:
        raise InvalidPayload("neither template nor text nor html is given", field="template")
    if not raw.subject:
        raise InvalidPayload("subject is missing", field="subject")
    refuse_line_breaks(raw.subject, field="subject")
    if len(raw.subject) > SUBJECT_CHARACTERS_MAX:
        raise InvalidPayload(f"subject is longer than {SUBJECT_CHARACTERS_MAX} characters", field="subject")
    for name in ("text", "html"):
        if len(getattr(raw, name) or "") > TEXT_CHARACTERS_MAX:
            raise InvalidPayload(f"{name} is longer than {TEXT_CHARACTERS_MAX} characters", field=name)


def _locale(raw: EmailPayload) -> tuple[str, ...]:
    """As customers have them; one that no template is written in is no fault."""
    if raw.locale is None:
        return ()
    if raw.template is None:
        raise InvalidPayload("locale is for a template, and none is named", field="locale")
    several = (raw.locale,) if isinstance(raw.locale, str) else tuple(raw.locale)
    if len(several) > LOCALES_MAX or any(len(each) > LOCALE_CHARACTERS_MAX for each in several):
        raise InvalidPayload(
            f"at most {LOCALES_MAX}, of {LOCALE_CHARACTERS_MAX} characters each", field="locale"
        )
    return several


def _check_category(raw: EmailPayload, *, receivers: int) -> None:
    """The link to unsubscribe is one receiver's own, so whoever it is shown to must be the only one."""
    if raw.category is None:
        return
    if not CATEGORY.fullmatch(raw.category):
        raise InvalidPayload(CATEGORY_RULE, field="category")
    if receivers != 1:
        raise InvalidPayload(
            "a mail with a category goes to one receiver; publish one for each", field="category"
        )
    if any(name.lower().startswith("list-unsubscribe") for name in raw.headers):
        raise InvalidPayload("with a category this header is ours", field="headers.List-Unsubscribe")


def _addresses(value: str | list[str], field: str) -> tuple[Address, ...]:
    if isinstance(value, str):
        return (address.recipient(value, field=field),)
    if len(value) > RECIPIENTS_MAX:
        raise InvalidPayload(f"more than {RECIPIENTS_MAX} recipients", field=field)
    return tuple(address.recipient(text, field=f"{field}[{index}]") for index, text in enumerate(value))


def _headers(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    if len(headers) > HEADERS_MAX:
        raise InvalidPayload(f"more than {HEADERS_MAX} headers", field="headers")
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _HEADER_ALLOWED.fullmatch(name) or lower in _HEADER_OURS or lower in seen:
            raise InvalidPayload(
                "a header that may not be set here; allowed are X-*, List-*, In-Reply-To, References, "
                "Auto-Submitted, Precedence and Feedback-ID, each once",
                field=f"headers.{name[:60]}",
            )
        if len(value) > HEADER_CHARACTERS_MAX:
            raise InvalidPayload(f"longer than {HEADER_CHARACTERS_MAX} characters", field=f"headers.{name}")
        if not value.isascii() and not _HEADER_OF_WORDS.fullmatch(name):
            raise InvalidPayload("only ASCII can stand here", field=f"headers.{name}")
        seen.add(lower)
        yield name, refuse_line_breaks(value, field=f"headers.{name}")


def _attachments(attachments: list[AttachmentPayload], bytes_max: int) -> Iterator[Attachment]:
    if len(attachments) > ATTACHMENTS_MAX:
        raise InvalidPayload(f"more than {ATTACHMENTS_MAX} attachments", field="attachments")
    # base64 grows by a third: judged before decoding, so that nothing huge is ever decoded.
    contents = [each.content_base64 or "" for each in attachments]
    if sum(map(len, contents)) * 3 // 4 > bytes_max + 3 * len(attachments):
        raise InvalidPayload(f"attachments are larger than {bytes_max} bytes", field="attachments")
    for index, each in enumerate(attachments):
        _check_filename(each.filename, f"attachments[{index}].filename")
        if each.url is msgspec.UNSET:
            yield _attachment(each, f"attachments[{index}]")


def _check_filename(name: str, field: str) -> None:
    refuse_line_breaks(name, field=field)
    if not 0 < len(name) <= 200 or "/" in name or "\\" in name:
        raise InvalidPayload("a file name has 1 to 200 characters and no slashes", field=field)


def _attachment(raw: AttachmentPayload, field: str) -> Attachment:
    if raw.content_base64 is None:
        raise InvalidPayload("neither content_base64 nor url is given", field=field)
    content_type = (raw.content_type or "application/octet-stream").lower()
    if not _CONTENT_TYPE.fullmatch(content_type) or content_type.startswith(("multipart/", "message/")):
        raise InvalidPayload("no content type that can be attached", field=f"{field}.content_type")
    try:
        content = base64.b64decode(raw.content_base64, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidPayload("not base64", field=f"{field}.content_base64") from None
    maintype, _, subtype = content_type.partition("/")
    return Attachment(raw.filename, maintype, subtype, content)


def _links(attachments: list[AttachmentPayload]) -> Iterator[Link]:
    for index, each in enumerate(attachments):
        field = f"attachments[{index}].url"
        if isinstance(each.url, msgspec.UnsetType):
            continue
        if each.content_base64 is not None or each.content_type is not None:
            raise InvalidPayload(
                "beside a url stands a filename only; what it leads to is a PDF", field=field
            )
        if not each.url:
            continue
        if not is_stripes(each.url) or len(each.url) > URL_CHARACTERS_MAX:
            raise InvalidPayload("an attachment is fetched from https://….stripe.com only", field=field)
        yield Link(each.filename, each.url)


def is_stripes(url: str) -> bool:
    """Whether it leads to Stripe, over TLS, at the usual port, without a login in it."""
    return _STRIPES.fullmatch(url) is not None
