"""Parses an error body of any shape into one value.

| shape | who |
|---|---|
| `{"error": {"message", "type", "param", "code"}}` | OpenAI and most |
| `{"type": "error", "error": {…}}` | Anthropic |
| `[{"error": {"status", "details": [{"reason"}, {"retryDelay"}]}}]` | Google, with or without the list |
| `{"object": "error", "message", "type", "code"}` | old vLLM, SGLang, Mistral |
| `{"error": "text"}`, `{"code": "…", "error": "text"}` | Ollama, Hugging Face, xAI |
| `{"detail": "text" / {…} / [{"loc", "msg", "input"}]}` | FastAPI |
| `{"errors": [{"message", "code"}]}` | Cloudflare |
| `{"message": "text"}`, `{"Message": …, "__type": …}` | Cohere, AWS |
| `{"base_resp": {"status_code", "status_msg"}}`, `{"error_code", "error_msg"}` | MiniMax, Baidu |
| `{"Response": {"Error": {…}}}` | Tencent |
| `{"error": {"innererror": {"code"}}}` | Azure |
| `{"error": {"metadata": {"raw": "…", "headers": {…}}}}` | OpenRouter: `raw` is an error of its own |
| an error as JSON, or as a printed Python dict, in a message | Gemini's proxies, LiteLLM |
| `litellm.RateLimitError: GroqException - …`: preceded by class names | LiteLLM |
| `{"external_model_error": {…}}`: a name that ends in `error` | Databricks |
| `event: error`, `data: {…}` | an event instead of a body, or in a relay's `raw` |
| text, HTML, XML | edges, AWS |

Only members that belong to an error are read. What a server quotes from the request (`input`, `loc`, `ctx`, `body`) is
never opened. Nothing after the first 64 KiB is read, nothing below a few levels, and a truncated body is read as far as
it goes.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from oxllm.core.halves import without_halves
from oxllm.core.reading.places import speaks

BODY_MAX = 65536
"""Bytes of a body that are read. What an error says itself comes first; what it quotes may be long."""
MESSAGE_MAX = 2048
"""Characters of an error's own messages, in total."""
DEPTH_MAX = 6
"""Nesting of errors: a relay's wrapper, the error in its `raw`, JSON in its message, an inner error."""
NODES_MAX = 24
"""Objects that are opened, in total."""


class Error(msgspec.Struct, gc=False):
    """What an error says. The innermost error comes first: it is the most specific."""

    codes: list[str]
    types: list[str]
    messages: list[str]
    status: int | None = None
    """The HTTP status that it names, if that is 4xx or 5xx."""
    param: str | None = None
    """The member of the request that it is about."""
    quoting: bool = False
    """It lists what is wrong with members of the request, so its words may be the request's."""
    relayed: bool = False
    """It is another provider's error, passed on in a wrapper."""
    quotas: str = ""
    """Names of the quotas that were used up, as Google lists them."""
    headers: list[tuple[bytes, bytes]] = []
    """Headers that it repeats; names in lower case."""
    waits: list[tuple[str, bytes]] = []
    """Members that say when to retry; names in lower case without `_` and `-`."""


Members = dict[str, bytes]
"""The members of an object: names in lower case without `_` and `-`, raw values."""
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_items = msgspec.json.Decoder(list[Raw]).decode
_text = msgspec.json.Decoder(str).decode
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

CODE_NAMES = (
    "code",
    "errorcode",
    "reason",
    "errcode",
    "statuscode",
    "status",
    "rawstatuscode",
    "httpstatus",
    "httpstatuscode",
    "error",
)
TYPE_NAMES = ("type", "errortype", "kind", "exception", "title", "name")
MESSAGE_NAMES = (
    "message",
    "msg",
    "errormsg",
    "errormessage",
    "errmsg",
    "statusmsg",
    "statusmessage",
    "errordescription",
    "description",
    "faultstring",
    "detail",
    "details",
    "error",
    "err",
    "info",
    "failure",
    "title",
)
INNER_NAMES = (
    "error",
    "errors",
    "detail",
    "details",
    "innererror",
    "message",
    "errormsg",
    "response",
    "baseresp",
    "header",
    "fault",
    "lasterror",
    "err",
    "status",
    "output",
    "cause",
    "responsemetadata",
)
"""Members that may hold an error of their own."""
_SAYS = re.compile(
    r"(?:return|ret|result|developer|locali[sz]ed|display|friendly|server|api|service|upstream|provider|exception|fault)"
    r"(?:msg|message)|messageen|moreinformation|statustext"
)
"""Other names of members with a message. Not `user_message` or `last_message`: those are a conversation's."""
_CODES = re.compile(
    r"(?:sub|internal|inner|biz|business|result|response|app|api|service|provider|upstream|ret|return|fault)code|slug"
    r"|category"
)
"""Other names of members with a code."""
_WRAPPERS = ("data", "result", "meta", "exception", "failure", "problem", "responsestatus", "upstream", "inner")
"""Members that hold the error if nothing beside them says anything. Otherwise they may hold the request."""
_WAIT = re.compile(
    r"(?:next)?(?:retry|resets?)(?:after|in|at|delay|time)(?:ms|s|secs?|seconds)?|resets?(?:seconds)?"
    r"|(?:wait|cooldown|backoff)(?:time)?(?:ms|s|secs?|seconds)?|estimatedtime|(?:next)?available(?:at|in)|tryagain(?:in|at)"
    r"|(?:seconds|time)(?:to|until)reset"
)
"""Names of members that say when to retry."""
_AROUND = re.compile(r"data|extra|limits?|quota|(?:ratelimit|retry)\w*")
"""Names of objects that may hold such a member, and no error."""
RAW_NAMES = ("raw", "providererror", "upstreamerror")

_EVENT = re.compile(r"(?:\A|\n)data:[ \t]*([^\r\n]+)")
_PRINTED = re.compile(
    r"""(?:(?:\A|[-:]\s*)(?:[45]\d\d\s+)?|\b[Ss]tatus\s(?:[Cc]ode\s)?[45]\d\d,\s|\bstatus:\s[\w\s]{0,50}\.\s|:\s[45]\d\d(?:\s[A-Z][A-Za-z-]{1,20}){1,4}\s|\bb['"])[({\[]*(?=\{\s*(['"])(?:error\w{0,16}|type|message|msg|object|code|detail|status\w{0,8}|(?:request_?)?[Ii]d|target_service)\1\s*:)"""
)
"""The start of an error inside a message: at its very start, or after a dash, a colon or a status (of which Google's
SDK makes a sentence, and the SDKs in Go a line: `POST "https://…": 429 Too Many Requests {…}`)."""
_CLASSES = re.compile(
    r"(?:(?:\w{1,20}\.)?(?P<name>\w{0,40}(?:Error|Timeout)|Timeout Error)(?: - |: ?)){0,6}"
    r"(?:(?P<of>\w{1,40})Exception - )?"
)
"""The prefix that LiteLLM and its like put on: `litellm.RateLimitError: RateLimitError: GroqException - `."""
_OPERATION = re.compile(
    r"An error occurred \((?P<code>\w{1,60})\) when calling the \w{1,60} operation"
    r"(?: \(reached max retries: \d{1,3}\))?: "
)
"""The prefix that botocore puts on."""
_XML = re.compile(
    r"<(?:\w{1,20}:)?(code|error_?code|faultcode|message|msg|detail|details|description|faultstring|reason)\b[^<>]{0,200}>"
    r"\s*([^<]{1,500}?)\s*</(?:\w{1,20}:)?\1>",
    re.IGNORECASE,
)
"""Elements of an error in XML, of AWS, SOAP and others. HTML has none that are called so."""
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
"""Possessive, so that a long string leaves nothing to backtrack to."""


def read(body: bytes) -> Error:
    """The error in a body of any kind. Never raises; without any, it is an Error without codes and messages."""
    error = Error([], [], [])
    reader = _Reader(error)
    start = without_halves(body[:BODY_MAX].lstrip(b"\xef\xbb\xbf \t\r\n"))
    reader.read(start, len(body) > BODY_MAX)
    error.status = error.status or reader.relayed_status
    return error


class _Reader:
    """Fills an Error, innermost first."""

    __slots__ = ("_chars", "_error", "_nodes", "relayed_status")

    def __init__(self, error: Error) -> None:
        self._error = error
        self._nodes = 0
        self._chars = 0
        self.relayed_status: int | None = None
        """The status that a relayed error names: that of the relay itself counts for more."""

    def read(self, body: bytes, cut: bool) -> None:
        if body[:1] in (b"{", b"["):
            whole = None if cut else _valid(body)
            self._value(whole if whole is not None else completed(body), 0)
            return
        text = body.decode("utf-8", "replace")
        if text[:1] == "<":
            for name, said in _XML.findall(text):
                self._code(said) if name.lower().endswith("code") else self._say(said, 0)
        elif text[:1] == '"':
            self._say(_decoded(body) or "", 0)
        else:
            self._say(text, 0)

    def _value(self, raw: bytes, depth: int) -> None:
        """An error, or a list of them, or its text."""
        if depth > DEPTH_MAX:
            return
        first = raw[:1]
        try:
            if first == b"{":
                if self._nodes < NODES_MAX:
                    self._nodes += 1
                    self._object(_opened(raw), depth)
            elif first == b"[":
                for item in _items(raw)[:8]:
                    self._value(bytes(item), depth + 1)
            elif first == b'"':
                self._say(_text(raw), depth)
        except _NOT_JSON:
            return

    def _object(self, found: Members, depth: int) -> None:
        error = self._error
        if "loc" in found or ("input" in found and "msg" in found):
            error.quoting = True
        if not any(speaks(text) for text in map(_decoded, _texts(found)) if text):
            self._inside(found, depth)
        self._waits(found)
        if self._quota(found):
            return
        for name in (*CODE_NAMES, *filter(_CODES.fullmatch, found)):
            if name in found:
                self._code_of(name, found[name])
        for name in TYPE_NAMES:
            if name in found and len(error.types) < NODES_MAX:
                self._type(_decoded(found[name]) or "")
        if error.param is None and "param" in found:
            error.param = _decoded(found["param"]) or None
        for text in _texts(found):
            self._say(_decoded(text) or "", depth)

    def _inside(self, found: Members, depth: int) -> None:
        """Reads the errors inside this one, a relayed one first."""
        metadata = found.get("metadata")
        if metadata is not None:
            self._metadata(metadata, depth)
        for name in INNER_NAMES:
            if name in found and found[name][:1] in (b"{", b"["):
                self._value(found[name], depth + 1)
        for name, value in found.items():
            if name.endswith("error") and name not in INNER_NAMES and value[:1] == b"{":
                self._value(value, depth + 1)
        if "violations" in found:
            self._value(found["violations"], depth + 1)
        if not _texts(found) and not any(name in found for name in INNER_NAMES):
            for name in _WRAPPERS:
                if found.get(name, b"")[:1] == b"{":
                    self._value(found[name], depth + 1)

    def _metadata(self, raw: bytes, depth: int) -> None:
        try:
            found = _opened(raw)
        except _NOT_JSON:
            return
        if "headers" in found:
            self._headers(found["headers"])
        self._waits(found)
        self._quota(found)
        code = _decoded(found.get("providererrorcode", b"null"))
        if code and not code.isdigit():
            self._error.relayed = True
            self._code(code)
        for name in RAW_NAMES:
            if name in found:
                inner = found[name]
                text = _decoded(inner)
                self._error.relayed = self._error.relayed or bool(text) or inner[:1] == b"{"
                self._value(inner, depth + 1)
        self.relayed_status, self._error.status = self._error.status or self.relayed_status, None

    def _quota(self, found: Members) -> bool:
        """Google's name of a quota that was used up. False if there is none."""
        name = next((found[name] for name in ("quotaid", "quotalimit") if name in found), None)
        if name is not None:
            self._error.quotas += " " + (_decoded(name) or "")[:200]
        return name is not None

    def _waits(self, found: Members) -> None:
        for name, value in found.items():
            if value[:1] != b"{":
                if _WAIT.fullmatch(name):
                    self._error.waits.append((name, value))
            elif _AROUND.fullmatch(name) and self._nodes < NODES_MAX:
                self._nodes += 1
                inside = _opened(value)
                self._waits(inside if name != "retrydelay" else {name: inside.get("seconds", b"")})

    def _headers(self, raw: bytes) -> None:
        try:
            found = _members(raw)
        except _NOT_JSON:
            return
        self._error.headers += [(name.lower().encode(), bytes(value).strip(b'"')) for name, value in found.items()][:64]

    def _code_of(self, name: str, raw: bytes) -> None:
        """A member that may hold a code: an identifier, or a number, which may be the HTTP status."""
        value = _decoded(raw) if raw[:1] == b'"' else (raw.decode("latin-1") if raw.isdigit() else None)
        if not value:
            return
        if value.isdigit():
            number = int(value[:9])
            if self._error.status is None and 400 <= number <= 599:
                self._error.status = number
        if name != "error" or _IDENTIFIER.fullmatch(value):
            self._code(value)

    def _code(self, value: str) -> None:
        if len(value) <= 200 and len(self._error.codes) < NODES_MAX:
            self._error.codes.append(value)

    def _type(self, value: str) -> None:
        if value and len(value) <= 200:
            self._error.types.append(value.rpartition("/")[2] if "://" in value else value)

    def _say(self, text: str, depth: int) -> None:
        """One of its messages. An error inside the message is read instead of it."""
        text = text.lstrip()
        if depth < DEPTH_MAX and (self._events(text, depth) or self._peeled(text, depth)):
            return
        where = _PRINTED.search(text[:MESSAGE_MAX]) if "{" in text else None
        if where is not None and depth < DEPTH_MAX and _wraps(text[: where.end()].lower()):
            before, inner = text[: where.end()], text[where.end() :][:BODY_MAX]
            self._say_once(before.rstrip(" -:{[('\"b"))
            self._error.relayed = self._error.relayed or "litellm" in before
            self._value(_as_json(inner, where[1]), depth + 1)
            return
        if text[:1] == "{" and depth < DEPTH_MAX and (whole := _valid(text.encode("utf-8", "replace"))) is not None:
            self._value(whole, depth + 1)
            return
        self._say_once(text)

    def _events(self, text: str, depth: int) -> bool:
        """A text of SSE events, as some servers send an error if a stream was asked for. False if it is none."""
        if not text.startswith(("event:", "data:")):
            return False
        found = [data for data in _EVENT.findall(text[:BODY_MAX])[:4] if data[0] == "{"]
        for data in found:
            self._value(data.encode("utf-8", "replace"), depth + 1)
        return bool(found)

    def _peeled(self, text: str, depth: int) -> bool:
        """The error that botocore passes on, or LiteLLM after its class names, which come last: they say less. False if
        it is neither."""
        if operation := _OPERATION.match(text):
            self._code(operation["code"])
            self._say(text[operation.end() :], depth + 1)
            return True
        names = _CLASSES.match(text)
        if names is None or not (names["of"] or (names["name"] and text.startswith("litellm."))):
            return False
        self._error.relayed = self._error.relayed or names["of"] is not None
        self._say(text[names.end() :], depth + 1)
        self._say_once(names["name"] or "")
        return True

    def _say_once(self, text: str) -> None:
        text = text[: MESSAGE_MAX - self._chars]
        if text and text not in self._error.messages:
            self._chars += len(text)
            self._error.messages.append(text)


_WRAPPER = re.compile(
    r"error|exception|status|code|http|upstream|provider|failed|returned \d{3}"
    r"|(?:^|\s)[45]\d\d(?::|(?: [a-z-]+){0,4}\Z)"
)
_QUOTER = re.compile(
    r"value|input|\bgot\b(?! status:)|received|expected|content|parameter|argument|param\b|messages?\b|prompt|body"
    r"|\btools?\b|\b(?:image|audio|video|media|file)s?\b|\bdownload"
)
"""Words that introduce a part of the request, or what a place said that the request names."""


_LINK = re.compile(r"\S+://\S+")


def _wraps(before: str) -> bool:
    """Whether the words up to the first brace introduce an inner error, and not a part of the request."""
    if "{" in before or speaks(before):
        return False
    before = _LINK.sub(" ", before).rstrip("[( ")
    return not before or (_WRAPPER.search(before) is not None and _QUOTER.search(before) is None)


_IDENTIFIER = re.compile(r"(?=[A-Za-z.]*_|[A-Z]?[a-z]+[A-Z])[A-Za-z0-9_.]{3,64}")
"""A code in a member that may also hold a text: `rate_limit_exceeded`, `RateLimitExceeded`."""


def _opened(raw: bytes) -> Members:
    return {_name(name): bytes(value) for name, value in _members(raw).items()}


def _texts(found: Members) -> list[bytes]:
    """What it says, as JSON strings."""
    names = (*MESSAGE_NAMES, *filter(_SAYS.fullmatch, found))
    return [found[name] for name in names if name in found and found[name][:1] == b'"']


def _name(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower() if len(name) <= 32 else ""


def _decoded(raw: bytes) -> str | None:
    try:
        return _text(raw)
    except _NOT_JSON:
        return None


def _valid(body: bytes) -> bytes | None:
    """The body, with invalid UTF-8 replaced, if it is JSON; else None."""
    try:
        body.decode()
    except UnicodeDecodeError:
        body = body.decode("utf-8", "replace").encode()
    try:
        msgspec.json.decode(body, type=Raw)
    except _NOT_JSON:
        return None
    return body


def completed(start: bytes) -> bytes:
    """Turns the beginning of a JSON text into JSON that can be read: closes what is open.

    An incomplete last member is dropped, back to the last comma outside a string.
    """
    closers: list[bytes] = []
    cut, cut_closers = 0, b""
    for match in _TOKEN.finditer(start):
        token = match[0]
        if token in (b"{", b"["):
            closers.append(b"}" if token == b"{" else b"]")
            if len(closers) > 64:
                return b""
            cut, cut_closers = match.end(), b"".join(reversed(closers))
        elif token in (b"}", b"]"):
            if not closers or closers.pop() != token:
                break
            if not closers:
                return start[: match.end()].decode("utf-8", "replace").encode()
            cut, cut_closers = match.end(), b"".join(reversed(closers))
        elif token == b'"':
            break  # an unterminated string
        else:
            before = start[max(match.start() - 16, 0) : match.start()].rstrip()
            if before[-1:] == b",":
                cut, cut_closers = start.rindex(b",", 0, match.start()), b"".join(reversed(closers))
            elif before[-1:] == b":":
                cut, cut_closers = match.end(), b"".join(reversed(closers))
    return (start[:cut] + cut_closers).decode("utf-8", "replace").encode()


def _as_json(printed: str, quote: str) -> bytes:
    """An error inside a message, as JSON: it may be a printed Python dict."""
    if quote == "'":
        printed = _PY_STRING.sub(_requoted, printed)
        printed = _PY_WORD.sub(lambda match: {"None": "null", "True": "true", "False": "false"}[match[0]], printed)
    data = printed.encode("utf-8", "replace")
    whole = _valid(data)
    return whole if whole is not None else completed(data)


_PY_STRING = re.compile(r"""'((?:[^'\\\n]++|\\.)*+)'(?=\s*[:,}\]])|"((?:[^"\\\n]++|\\.)*+)\"""")
_PY_WORD = re.compile(r"(?<=[:\[,] )(?:None|True|False)\b")


def _requoted(match: re.Match[str]) -> str:
    said: str = match[1] if match[1] is not None else match[2]
    return msgspec.json.encode(said.replace("\\'", "'").replace('\\"', '"')).decode()
