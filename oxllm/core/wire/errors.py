"""The error objects that clients get, in OpenAI's shape: the only one whose message survives the SDKs.

SDKs read `error.message`, `error.type`, `error.param` and `error.code`; `code` must be a string or null.
"""

from __future__ import annotations

from typing import Final

import msgspec

from oxllm.core.shape import Value

OWNER_UNAVAILABLE: Final = "owner_unavailable"
"""The code when only one provider has the answer asked for, and cannot be asked now."""


class ApiError(Value, frozen=True):
    """An error of the gateway's own: HTTP status and the four fields of the error object."""

    status: int
    type: str
    code: str | None
    message: str
    param: str | None = None
    retry_after: int | None = None
    """Whole seconds for the Retry-After header."""
    should_retry: bool | None = None
    """False sends `x-should-retry: false`, which stops the SDKs' own retries."""

    def body(self) -> bytes:
        """The error object as JSON."""
        return _encoder.encode(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of this response; Content-Length is left to the connection."""
        headers = [(b"content-type", b"application/json")]
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        if self.should_retry is not None:
            headers.append((b"x-should-retry", b"true" if self.should_retry else b"false"))
        if self.status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="oxllm"'))  # RFC 9110 section 11.6.1
        if self.status == 415:
            headers.append((b"accept-encoding", b"identity"))  # RFC 9110 section 15.5.16
        if self.status == 426:
            headers += ((b"upgrade", b"HTTP/1.1"), (b"connection", b"upgrade"))  # RFC 9110 section 15.5.22
        return headers


_encoder: Final = msgspec.json.Encoder()

TYPE_BY_STATUS: Final = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    429: "rate_limit_error",
    502: "upstream_error",
    503: "server_error",
    504: "timeout_error",
}
"""Other 4xx are the client's (`invalid_request_error`), other 5xx ours (`server_error`)."""


def api_error(
    status: int,
    message: str,
    code: str | None = None,
    param: str | None = None,
    retry_after: int | None = None,
    should_retry: bool | None = None,
) -> ApiError:
    """An error with the type that its status has in the OpenAI API."""
    kind = TYPE_BY_STATUS.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    return ApiError(status, kind, code, message, param, retry_after, should_retry)
