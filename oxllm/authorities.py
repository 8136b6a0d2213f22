"""Which certificate authorities are trusted, by the gateway and by commands that call a provider as it would."""

from __future__ import annotations

import os
import re
import ssl

OTHER_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
"""Where Debian, Fedora, Alpine and macOS, and SUSE keep theirs, for a Python whose OpenSSL was built elsewhere."""


def make_context(ca_file: str | None) -> ssl.SSLContext:
    """A context for TLS 1.2 or newer and HTTP/1.1, with host names checked. Raises OSError for an unreadable CA file.

    A provider's `ca_file` replaces the system's authorities, as in curl and nginx.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    else:
        cafile, capath = system_authorities()
        if cafile is not None or capath is not None:
            context.load_verify_locations(cafile=cafile, capath=capath)
    return context


def system_authorities() -> tuple[str | None, str | None]:
    """The bundle and the hashed directory to trust; both None if the system has neither. Never raises.

    If SSL_CERT_FILE or SSL_CERT_DIR is set and not empty, nothing else is trusted. Otherwise the directory is
    preferred: OpenSSL reads from it only what it needs, while a bundle is read as a whole, which costs 4 MB.
    """
    paths = ssl.get_default_verify_paths()
    named = os.environ.get(paths.openssl_cafile_env) or None, os.environ.get(paths.openssl_capath_env) or None
    if any(named):
        return named
    capath = paths.capath or paths.openssl_capath  # the former is None where the variable is empty
    if _is_hashed(capath):
        return None, capath
    bundles = (paths.cafile, paths.openssl_cafile, *OTHER_BUNDLES)
    return next((path for path in bundles if path and os.path.isfile(path)), None), None


def _is_hashed(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", entry.name) for entry in entries)
    except OSError:
        return False
