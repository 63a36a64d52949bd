"""What ``python -m twisted_oob`` says: which commands there are, and how to begin."""

from __future__ import annotations

import sys

from twisted_oob._version import __version__

_TEXT = f"""\
twisted_oob {__version__}: files by URL over XMPP

  oob send FILE JID           hand over a file, and know in the end whether it arrived
  oob receive                 take the files that others hand over
  oob check                   log in, and tell what the server has
  twistd -n oob-responder     a service that fetches the files it is offered or sent in a chat
  import twisted_oob          the library, for Wokkel's streams

Each command has --help. To see files change hands: twistd -n oob-responder --demo
"""


def main() -> int:
    """Say what there is; whoever gave arguments wanted something else, and gets a status of 2.

    Those who ask for help or the version have what they wanted.
    """
    if sys.argv[1:] not in ([], ["--help"], ["-h"], ["--version"]):
        sys.stderr.write(_TEXT)
        return 2
    sys.stdout.write(_TEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
