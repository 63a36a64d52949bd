"""Servers that are configured for the file bot as ``docs/bot.rst`` shows.

The blocks of that page are added to the configuration of ``servers.py``, whose upload service is
taken out before. Only names, ports, folders and the secret are others than on the page.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path

from pytest_twisted import blockon
from twisted.internet.defer import ensureDeferred

from tests.servers.servers import (
    CERTIFICATE_NAMES,
    DOMAIN,
    HTTP_HOST,
    SECRET,
    Ejabberd,
    Prosody,
)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "bot.rst").read_text(encoding="utf-8")
NAMES = re.findall(r"^   :name: (\S+)$", DOCUMENT, re.MULTILINE)
COMPONENT = f"files.{DOMAIN}"
# What Debian's ejabberd.yml has: those who may upload.
_LOCAL = 'acl:\n  local:\n    user_regexp: ""\naccess_rules:\n  local:\n    allow: local\n'


def documented(name):
    """Give the block of docs/bot.rst that has this name."""
    block = re.search(
        rf"^   :name: {re.escape(name)}\n\n((?:    .*\n|\n)+)", DOCUMENT, re.MULTILINE
    )
    # Not dedent: lists of YAML go on where they are.
    return re.sub(r"^    ", "", block[1].rstrip(), flags=re.MULTILINE) + "\n"


def _changed(text, *changes):
    """Replace each text, which must be there once."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class BotProsody(Prosody):
    """Prosody as docs/bot.rst configures it. It has carbons, as Debian's has."""

    def component(self):
        return COMPONENT

    def _configure(self):
        command = super()._configure()
        path = self.folder / "prosody.cfg.lua"
        text = path.read_text(encoding="utf-8")
        text = re.sub(r'^Component "upload\.(.|\n)*?\n\n', "", text, flags=re.MULTILINE)
        where = (
            f'\n    http_host = "{HTTP_HOST}"'
            f'\n    http_external_url = "https://{HTTP_HOST}:{self.http_port}/"'
        )
        service = 'Component "upload.example.org" "http_file_share"'
        added = _changed(
            documented("prosody.cfg.lua"),
            (service, service + where),
            ("the secret of files", SECRET),
        )
        text = _changed(text, ("modules_enabled = { ", 'modules_enabled = { "carbons", '))
        path.write_text(text + added.replace("example.org", DOMAIN), encoding="utf-8")
        return command


class BotEjabberd(Ejabberd):
    """Ejabberd as docs/bot.rst configures it."""

    def component(self):
        return COMPONENT

    def _configure(self):
        command = super()._configure()
        path = self.folder / "ejabberd.yml"
        text = path.read_text(encoding="utf-8")
        # The listeners for components and https, and the module, are the page's.
        text = re.sub(rf"  -\n    port: {self.component_port}\n(.|\n)*(?=modules:)", "", text)
        text = re.sub(r"  mod_http_upload:(.|\n)*", "", text)
        listen = _changed(
            documented("listen"),
            ('"::"', '"127.0.0.1"'),
            ("5443", str(self.http_port)),
            ("5347", str(self.component_port)),
            ("the secret of files", SECRET),
        )
        modules = _changed(
            documented("modules"),
            ("@HOST@:5443", f"{HTTP_HOST}:{self.http_port}"),
            ("mod_http_upload:\n", f'mod_http_upload:\n    docroot: "{self.folder}/upload"\n'),
        )
        text = _changed(text, ("modules:\n", f"{listen}modules:\n{modules}"))
        path.write_text(_LOCAL + text.replace("example.org", DOMAIN), encoding="utf-8")
        return command


DOCUMENTED = {server.name: server for server in (BotProsody, BotEjabberd)}


@contextmanager
def running(name, certificates, folder):
    """Run one of them in a new folder, as long as the context lasts."""
    from twisted.internet import reactor

    certificate = certificates.issue(DOMAIN, names=CERTIFICATE_NAMES)
    made = DOCUMENTED[name](reactor, folder, certificate, certificates.file)
    blockon(ensureDeferred(made.start()))
    try:
        yield made
    finally:
        blockon(ensureDeferred(made.stop()))
