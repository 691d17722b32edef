-- Messages of one lane to one peer take effect in the order of their numbers. Lane 0 has no order. A message of
-- the version before gets its number here and its lane (NULL until then) from the application.
ALTER TABLE p2p_outbox ADD COLUMN lane INTEGER;
ALTER TABLE p2p_outbox ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;

-- The last number given in each lane, also when its message has long gone.
CREATE TABLE p2p_lanes (
    peer BLOB NOT NULL CHECK (length(peer) = 32),
    lane INTEGER NOT NULL CHECK (lane BETWEEN 1 AND 255),
    last INTEGER NOT NULL CHECK (last > 0),
    PRIMARY KEY (peer, lane)
) STRICT, WITHOUT ROWID;

-- In the order in which they were put: the number counts the rows of the same peer.
UPDATE p2p_outbox SET sequence = numbered.n
FROM (SELECT id, row_number() OVER (PARTITION BY peer ORDER BY rowid) AS n FROM p2p_outbox) AS numbered
WHERE numbered.id = p2p_outbox.id;
