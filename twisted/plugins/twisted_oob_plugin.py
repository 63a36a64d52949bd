"""Tells twistd about ``oob-responder``; the package itself is imported only when it is run."""

from twisted.application.service import ServiceMaker

oob_responder = ServiceMaker(
    "Out of Band responder (XEP-0066)",
    "twisted_oob.commands.tap",
    "Fetches the files it is offered over XMPP, and answers when it has them.",
    "oob-responder",
)
