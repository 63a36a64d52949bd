"""HTTP and the disk: what may be fetched, fetching it, and where it lands; nothing of XMPP."""
