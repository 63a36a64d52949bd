"""Tells twistd about ``oob-responder``; imports nothing of ours until it is run."""

from twisted.application.service import ServiceMaker

oob_responder = ServiceMaker(
    "Out of Band responder (XEP-0066)",
    "twisted_oob.commands.tap",
    "Fetches the URLs it is offered over XMPP, safely, and answers truthfully.",
    "oob-responder",
)
