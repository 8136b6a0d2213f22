"""State that a provider seals and gives to the client: encrypted reasoning, signatures of thinking.

A seal names its maker, so that a provider recognises its own, and refuses another's as real ones do.
"""

from __future__ import annotations

import base64
import binascii


def seal(provider: str, content: str) -> str:
    """Seal content so that only this provider accepts it."""
    return base64.b64encode(f"sealed by {provider}: {content}".encode()).decode()


def is_own(provider: str, sealed: object) -> bool:
    """Whether this provider made the seal."""
    if not isinstance(sealed, str):
        return False
    try:
        opened = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        return False
    return opened.startswith(f"sealed by {provider}: ".encode())
