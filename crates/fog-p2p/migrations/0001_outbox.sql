-- Messages that the other side has not acknowledged yet.
CREATE TABLE p2p_outbox (
    id         BLOB PRIMARY KEY CHECK (length(id) = 16),
    peer       BLOB NOT NULL CHECK (length(peer) = 32),
    kind       INTEGER NOT NULL,
    priority   INTEGER NOT NULL,
    body       BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- Messages that were accepted, so that a second copy has no effect.
CREATE TABLE p2p_seen (
    peer    BLOB NOT NULL,
    id      BLOB NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (peer, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX p2p_seen_by_time ON p2p_seen (seen_ms);
