"""State that a provider seals and hands to the client: encrypted reasoning, signatures of thinking.

A seal says who made it, so that a provider knows its own, and refuses another's as the real ones do.
"""

from __future__ import annotations

import base64
import binascii


def seal(provider: str, content: str) -> str:
    """Something that only this provider can open."""
    return base64.b64encode(f"sealed by {provider}: {content}".encode()).decode()


def is_own(provider: str, sealed: object) -> bool:
    """Whether this provider made it."""
    if not isinstance(sealed, str):
        return False
    try:
        opened = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        return False
    return opened.startswith(f"sealed by {provider}: ".encode())
