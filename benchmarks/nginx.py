"""An nginx of one's own, on loopback, that gives out a folder."""

from __future__ import annotations

import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from benchmarks.process import BenchmarkError, Process

_CONFIG = """
daemon off; master_process off; pid {home}/pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; default_type application/octet-stream;
  client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
  uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""
_ATTEMPTS = 5
_PATIENCE = 10.0  # seconds


def find_nginx() -> str | None:
    """Give the path of the program; Debian has it where only root looks for it."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


class Nginx:
    """Runs for the time of a ``with`` block, which gets the URL of the folder.

    ``home``: an existing folder for what it needs itself. ``root``: the folder it gives out.
    """

    def __init__(self, home: Path, root: Path) -> None:
        self._home = home
        self._root = root
        self._process: Process | None = None

    def __enter__(self) -> str:
        for _ in range(_ATTEMPTS):  # another process may have taken the port
            port = _free_port()
            self._start(port)
            if self._answers(port):
                return f"http://127.0.0.1:{port}"
            self._stop()
        raise BenchmarkError("nginx does not start")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self, port: int) -> None:
        program = find_nginx()
        if program is None:
            raise BenchmarkError("nginx is not installed")
        config = self._home / "nginx.conf"
        config.write_text(_CONFIG.format(home=self._home, root=self._root, port=port))
        self._process = Process([program, "-e", "stderr", "-p", str(self._home), "-c", str(config)])

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()

    def _answers(self, port: int) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._process and not self._process.ended:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return not self._process.ended
            time.sleep(0.02)
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
