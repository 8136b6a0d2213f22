"""Places that a request names: a tool's server, a picture's host. What such a place says is no word of the provider's.

Whoever runs it could otherwise take the provider away from others, by an error about its own bills, keys and rates.
"""

from __future__ import annotations

import re

_PLACE = (
    r"\b(?:tools?|tool[ _-](?:call|result|server|backend)s?|functions?(?: call)?|plugins?|webhooks?|attachments?|mcp"
    r"|connectors?|(?:web|file)[ _]search|code interpreter"
    r"|(?:image|audio|video|media|file|document|pdf)s?(?:[ _-]?(?:url|host|link))?|urls?)\b"
    r"(?! (?:generation|models?|inputs?)\b)"
)
_NAME = r"(?:[^.\n:]|\.(?=\w))"
"""A character between the two: `billing.pay` is a name."""
_FAILED = (
    rf"{_PLACE}{_NAME}{{0,60}}?\b(?:fail\w*|errors?|return\w*|respond\w*|replie[ds]|said|says|answer\w*)\b"
    r"|\b(?:plugin|tool provider|webhook|connector)\s?(?=:)"
)
"""The place, and that it failed or said something."""
_NOT_REACHED = (
    r"\b(?:fail\w*|unable|error|not)\s[^.\n:]{0,20}?"
    rf"\b(?:download|fetch|load|retriev|execut|runn?|call|access|open|read)\w*\s[^.\n:]{{0,30}}?{_PLACE}"
)
"""What could not be done, and with which place."""
_NAMED = (
    r"\bmcp\b|\bconnectors?\b|\b(?:(?:to|while) (?:fetch|download|load)|downloading|fetching (?!from\b))[^.\n]{0,60}://"
)
REPORTED = re.compile(rf"{_FAILED}|{_NOT_REACHED}(?=[^\n:(]{{0,120}}[:(])", re.IGNORECASE)
"""Who reports what a place said: behind it are that place's words. "This model cannot call functions" reports none."""
_SPEAKS = re.compile(f"{_FAILED}|{_NOT_REACHED}|{_NAMED}", re.IGNORECASE)


def speaks(text: str) -> bool:
    """Whether an error with these words may have an error inside that such a place made."""
    return _SPEAKS.search(text) is not None
