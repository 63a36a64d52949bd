"""Examples of what goes over the wire, as XML: the pieces that the table of rules is made of."""

from __future__ import annotations

from typing import Final

QUERY: Final = "<query xmlns='jabber:iq:oob'><url>https://files.example/a.pdf</url></query>"
NO_URL: Final = "<query xmlns='jabber:iq:oob'><desc>a report</desc></query>"
RELATIVE: Final = "<query xmlns='jabber:iq:oob'><url>a.pdf</url></query>"
X: Final = "<x xmlns='jabber:x:oob'><url>https://files.example/a.pdf</url></x>"
RELATIVE_X: Final = "<x xmlns='jabber:x:oob'><url>a.pdf</url></x>"

KNOWN: Final = (
    "<media-type>application/pdf</media-type><name>a.pdf</name><size>3</size>"
    "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>"
    "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=</hash>"
)
FILE: Final = f"<file xmlns='urn:xmpp:file:metadata:0'>{KNOWN}</file>"
QUERY_WITH_FILE: Final = QUERY.replace("</query>", f"{FILE}</query>")
URL_DATA: Final = (
    "<url-data xmlns='http://jabber.org/protocol/url-data' target='https://files.example/a.pdf'/>"
)
SFS: Final = (
    "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='attachment'>"
    f"{FILE}<sources>{URL_DATA}</sources></file-sharing>"
)
ATTACHED: Final = (
    "<attach-to xmlns='urn:xmpp:message-attaching:1' id='m1'/>"
    f"<sources xmlns='urn:xmpp:sfs:0' id='f1'>{URL_DATA}</sources>"
)
REFERENCE: Final = (
    "<reference xmlns='urn:xmpp:reference:0' type='data' begin='27' end='27' "
    "uri='https://files.example/a.pdf'"
)
SIMS: Final = (
    f"{REFERENCE}><media-sharing xmlns='urn:xmpp:sims:1'>"
    f"<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'>{KNOWN}</file>"
    f"<sources>{REFERENCE}/></sources></media-sharing></reference>"
)
FALLBACK: Final = "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>"
JINGLE: Final = (
    f"<file-sharing xmlns='urn:xmpp:sfs:0'>{FILE}<sources>"
    "<jinglepub xmlns='urn:xmpp:jinglepub:1' from='{peer}' id='j1'/></sources></file-sharing>"
)
ENCRYPTED: Final = (
    f"<file-sharing xmlns='urn:xmpp:sfs:0'>{FILE}<sources>"
    "<encrypted xmlns='urn:xmpp:esfs:0' cipher='urn:xmpp:ciphers:aes-256-gcm-nopadding:0'>"
    f"<key>a2V5</key><iv>aXY=</iv><sources xmlns='urn:xmpp:sfs:0'>{URL_DATA}</sources>"
    "</encrypted></sources></file-sharing>"
)
