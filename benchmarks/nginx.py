"""An nginx for the benchmarks alone, on loopback, that serves a folder, or stores files there."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process import BenchmarkError, Process

_CONFIG = """
daemon off; master_process off; pid {home}/pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; default_type application/octet-stream;
  client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
  uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
  server {{ listen 127.0.0.1:{port}{ssl}; root {root}; {more} }}
}}
"""
_UPLOADS = "dav_methods PUT; client_max_body_size 0;"
_TLS = "ssl_certificate {file}; ssl_certificate_key {file};"
_PATIENCE = 10.0  # seconds


@contextmanager
def served(
    home: Path, root: Path, *, uploads: bool = False, certificate: Path | None = None
) -> Iterator[str]:
    """Serve a folder for the time of a ``with`` block, which gets its URL.

    Args:
        home: An existing folder for what nginx itself needs.
        root: The folder that is served.
        uploads: Whether it stores what is PUT to it. It needs nginx's module dav then.
        certificate: A file of a key and a certificate, in PEM format, for https. None for http.

    Raises:
        BenchmarkError: It is not installed, or does not start.
    """
    # Debian has it where only root looks for it.
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BenchmarkError("nginx is not installed")
    config = home / "nginx.conf"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    more = _UPLOADS if uploads else ""
    ssl = ""
    if certificate is not None:
        ssl = " ssl"
        more += _TLS.format(file=certificate)
    config.write_text(_CONFIG.format(home=home, root=root, port=port, ssl=ssl, more=more))
    with Process([program, "-e", "stderr", "-p", home, "-c", config]) as process:
        deadline = time.monotonic() + _PATIENCE
        while not _accepts(port):
            if process.ended or time.monotonic() > deadline:
                raise BenchmarkError(f"nginx does not start: {process.last_words()}")
            time.sleep(0.02)
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}"


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
