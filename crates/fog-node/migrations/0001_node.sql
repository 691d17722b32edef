CREATE TABLE node_meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- The mixnets that this node is in. One is primary: its members share ledger and votes.
CREATE TABLE node_networks (
    id           BLOB PRIMARY KEY CHECK (length(id) = 32),
    consensus    BLOB NOT NULL,
    home         BLOB NOT NULL CHECK (length(home) = 32),
    own          INTEGER NOT NULL,
    is_primary   INTEGER NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX node_networks_primary ON node_networks (is_primary) WHERE is_primary = 1;

-- Countersigned receipts of the primary network, for members who come later.
CREATE TABLE node_settlements (
    job  BLOB PRIMARY KEY CHECK (length(job) = 16),
    body BLOB NOT NULL
) STRICT;

CREATE TABLE node_contacts (
    id           BLOB PRIMARY KEY CHECK (length(id) = 32),
    seal_key     BLOB NOT NULL UNIQUE CHECK (length(seal_key) = 32),
    name         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('asking', 'accepted', 'blocked')),
    network      BLOB NOT NULL,
    home         BLOB NOT NULL,
    mailbox      BLOB NOT NULL,
    card_ms      INTEGER NOT NULL,
    last_seen_ms INTEGER,
    created_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE node_messages (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB NOT NULL CHECK (length(id) = 16),
    peer         BLOB NOT NULL REFERENCES node_contacts (id),
    outgoing     INTEGER NOT NULL,
    text         TEXT NOT NULL,
    time_ms      INTEGER NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'delivered', 'read', 'failed')),
    delivered_ms INTEGER,
    read_ms      INTEGER,
    UNIQUE (peer, outgoing, id)
) STRICT;

CREATE INDEX node_messages_by_peer ON node_messages (peer, number);
CREATE INDEX node_messages_unread ON node_messages (peer) WHERE outgoing = 0 AND status != 'read';
