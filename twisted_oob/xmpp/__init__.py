"""Streams, stanzas, addresses and logins: XMPP itself, and nothing of files."""
