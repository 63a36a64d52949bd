"""Whether this machine has CA roots: certificates that https servers can be verified with.

A slim container often has none. OpenSSL doesn't mind, and then trusts nobody. Whether it will find
some can't be asked. So we look for ourselves, in the places where it will look:

- the file and the folders that SSL_CERT_FILE and SSL_CERT_DIR name, or else those that OpenSSL was
  built with;
- if neither variable is set, and the wheels of ``cryptography`` brought their own OpenSSL, the
  places where distributions have their roots, which pyOpenSSL then adds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

_FILE: Final = "SSL_CERT_FILE"
_FOLDERS: Final = "SSL_CERT_DIR"
_VARIABLES: Final = (_FILE, _FOLDERS)
_CERTIFICATE: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
# OpenSSL finds a certificate in a folder by the hash of its subject, as c_rehash names it.
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def missing_roots(ca_file: str | Path | None) -> str | None:
    """Say in one line that this machine has no CA roots, and what to do.

    Args:
        ca_file: The operator's own certificates beside them, if there are any.

    Returns:
        None if the machine has roots.
    """
    files, folders = _places()
    if any(map(_is_bundle, files)) or any(map(_has_hashed, folders)):
        return None
    whom = "no https server" if ca_file is None else "no https server but those of the ca_file"
    named = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    where = f" at {' and '.join(named)}" if named else ""
    return (
        f"this machine has no CA roots{where}, so {whom} can be verified: "
        f"install ca-certificates, or let {_FILE} name a file of roots"
    )


class _Fallbacks(SSL.Context):
    """Notes the places that pyOpenSSL adds to OpenSSL's own, and does not read them."""

    def __init__(self) -> None:
        super().__init__(SSL.TLS_METHOD)
        self.files: list[Path] = []
        self.folders: list[Path] = []

    def load_verify_locations(self, cafile: Any, capath: Any = None) -> None:
        if cafile is not None:
            self.files.append(Path(cafile))
        if capath is not None:
            self.folders.append(Path(capath))


def _places() -> tuple[list[Path], list[Path]]:
    """Give the files and the folders that may have roots; not all of them exist."""
    binding = Binding()

    def built_in(path: Any) -> str:
        return os.fsdecode(binding.ffi.string(path))

    file = os.environ.get(_FILE, built_in(binding.lib.X509_get_default_cert_file()))
    folders = os.environ.get(_FOLDERS, built_in(binding.lib.X509_get_default_cert_dir()))
    added = _Fallbacks()
    if not any(name in os.environ for name in _VARIABLES):
        # Not otherwise: pyOpenSSL would add nothing, and OpenSSL read all of the roots.
        added.set_default_verify_paths()
    return (
        [Path(file), *added.files],
        [*map(Path, filter(None, folders.split(os.pathsep))), *added.folders],
    )


def _is_bundle(path: Path) -> bool:
    try:
        return _CERTIFICATE.search(path.read_bytes()) is not None
    except OSError:
        return False


def _has_hashed(folder: Path) -> bool:
    # Distributions have links there, which may lead nowhere any more.
    return any(_HASHED.fullmatch(name) and (folder / name).is_file() for name in _names_in(folder))


def _names_in(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except OSError:
        return
