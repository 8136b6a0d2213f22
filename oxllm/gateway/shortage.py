"""What this machine can run out of, by errno. Neither client nor provider is to blame for these."""

from __future__ import annotations

import errno
from typing import Final

SHORTAGES: Final = {
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.ENOBUFS: "no memory for sockets",
    errno.ENOMEM: "no memory for sockets",
    errno.ENOSPC: "no more sockets can be watched",  # as epoll_ctl(2) means it
}
LIMITS: Final = {
    errno.EMFILE: "ulimit -n",
    errno.ENFILE: "sysctl fs.file-max",
    errno.ENOSPC: "sysctl fs.epoll.max_user_watches",
}
"""The limit that an operator can raise."""
