-- Proposals and votes. `record` is the signed statement as it travels, `record_id` its BLAKE3.

CREATE TABLE dao_proposals (
    id               BLOB PRIMARY KEY CHECK (length(id) = 16),
    proposer         BLOB NOT NULL CHECK (length(proposer) = 32),
    created_ms       INTEGER NOT NULL CHECK (created_ms >= 0),
    ends_ms          INTEGER NOT NULL CHECK (ends_ms >= created_ms),
    received_ms      INTEGER NOT NULL,
    snapshot_matches INTEGER NOT NULL CHECK (snapshot_matches IN (0, 1)),
    record_id        BLOB NOT NULL UNIQUE,
    record           BLOB NOT NULL
) STRICT;
CREATE INDEX dao_proposals_created ON dao_proposals (created_ms);

-- The best vote of each sequence number; the highest sequence is the one that counts.
CREATE TABLE dao_votes (
    proposal   BLOB NOT NULL REFERENCES dao_proposals (id),
    voter      BLOB NOT NULL CHECK (length(voter) = 32),
    sequence   INTEGER NOT NULL CHECK (sequence >= 0),
    arrived_ms INTEGER NOT NULL,
    record_id  BLOB NOT NULL UNIQUE,
    record     BLOB NOT NULL,
    PRIMARY KEY (proposal, voter, sequence)
) STRICT;

-- Evidence: two different votes that one person signed with one sequence number.
CREATE TABLE dao_faults (
    proposal BLOB NOT NULL REFERENCES dao_proposals (id),
    voter    BLOB NOT NULL CHECK (length(voter) = 32),
    sequence INTEGER NOT NULL,
    first    BLOB NOT NULL,
    second   BLOB NOT NULL CHECK (second <> first),
    seen_ms  INTEGER NOT NULL,
    PRIMARY KEY (proposal, voter, sequence)
) STRICT;

-- Votes that came before their proposal. Bounded; the oldest of strangers go first.
CREATE TABLE dao_parked (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    proposal   BLOB NOT NULL CHECK (length(proposal) = 16),
    voter      BLOB NOT NULL CHECK (length(voter) = 32),
    arrived_ms INTEGER NOT NULL,
    record_id  BLOB NOT NULL UNIQUE,
    record     BLOB NOT NULL
) STRICT;
CREATE INDEX dao_parked_proposal ON dao_parked (proposal);
CREATE INDEX dao_parked_voter ON dao_parked (voter);
