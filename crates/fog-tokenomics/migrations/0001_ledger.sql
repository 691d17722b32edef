-- The ledger: a journal whose entries balance, and accounts whose balances the journal alone moves.
--
-- An amount is two integers, value = fog * 10^18 + atto with 0 <= atto < 10^18, so that SQLite adds and
-- compares exactly. A negative posting has a negative `fog` and still a positive `atto`.

CREATE TABLE ledger_genesis (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    body BLOB NOT NULL
) STRICT;

CREATE TABLE ledger_accounts (
    id    INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL
          CHECK (kind IN ('issuance', 'treasury', 'sovereign', 'rewards', 'joiners', 'person', 'escrow')),
    key   BLOB NOT NULL,
    -- Whose money it is: the person, or the person who pays the job.
    owner BLOB,
    fog   INTEGER NOT NULL DEFAULT 0,
    atto  INTEGER NOT NULL DEFAULT 0 CHECK (atto BETWEEN 0 AND 999999999999999999),
    UNIQUE (kind, key),
    -- Nobody overdraws. Issuance is the other side of the supply and is the only one below zero.
    CHECK (kind = 'issuance' OR fog >= 0),
    CHECK (CASE kind
        WHEN 'person' THEN length(key) = 32 AND owner IS key
        WHEN 'escrow' THEN length(key) = 16 AND length(owner) = 32
        ELSE length(key) = 0 AND owner IS NULL END)
) STRICT;
CREATE INDEX ledger_accounts_owner ON ledger_accounts (owner) WHERE owner IS NOT NULL;

-- Holds the single value 1; see ledger_entries.sealed.
CREATE TABLE ledger_sealed (sealed INTEGER PRIMARY KEY CHECK (sealed = 1)) STRICT;
INSERT INTO ledger_sealed VALUES (1);

CREATE TABLE ledger_entries (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Names the operation, so that a repetition finds it done.
    op      TEXT NOT NULL UNIQUE,
    kind    TEXT NOT NULL,
    time_ms INTEGER NOT NULL CHECK (time_ms >= 0),
    memo    TEXT NOT NULL,
    job     BLOB CHECK (job IS NULL OR length(job) = 16),
    -- An entry opens at 0, takes its postings, and is sealed to 1 if they balance. The deferred reference
    -- makes SQLite refuse to commit an entry that was never sealed.
    sealed  INTEGER NOT NULL DEFAULT 0
            REFERENCES ledger_sealed (sealed) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX ledger_entries_time ON ledger_entries (time_ms);

CREATE TABLE ledger_postings (
    entry   INTEGER NOT NULL REFERENCES ledger_entries (id),
    -- At most 9 lines, so that the sum of `atto` cannot overflow 64 bits.
    line    INTEGER NOT NULL CHECK (line BETWEEN 0 AND 8),
    account INTEGER NOT NULL REFERENCES ledger_accounts (id),
    fog     INTEGER NOT NULL,
    atto    INTEGER NOT NULL CHECK (atto BETWEEN 0 AND 999999999999999999),
    PRIMARY KEY (entry, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_postings_account ON ledger_postings (account, entry);

CREATE TRIGGER ledger_postings_open BEFORE INSERT ON ledger_postings
WHEN (SELECT sealed FROM ledger_entries WHERE id = NEW.entry) IS NOT 0
BEGIN
    SELECT RAISE(ABORT, 'the entry is sealed');
END;

CREATE TRIGGER ledger_postings_move AFTER INSERT ON ledger_postings
BEGIN
    UPDATE ledger_accounts
    SET fog  = fog + NEW.fog + (atto + NEW.atto >= 1000000000000000000),
        atto = (atto + NEW.atto) % 1000000000000000000
    WHERE id = NEW.account;
END;

CREATE TRIGGER ledger_postings_keep BEFORE UPDATE ON ledger_postings
BEGIN
    SELECT RAISE(ABORT, 'postings are never changed');
END;

CREATE TRIGGER ledger_postings_stay BEFORE DELETE ON ledger_postings
BEGIN
    SELECT RAISE(ABORT, 'postings are never deleted');
END;

CREATE TRIGGER ledger_entries_open BEFORE INSERT ON ledger_entries WHEN NEW.sealed <> 0
BEGIN
    SELECT RAISE(ABORT, 'an entry is sealed after its postings');
END;

CREATE TRIGGER ledger_entries_keep BEFORE UPDATE ON ledger_entries
WHEN OLD.sealed <> 0 OR NEW.sealed <> 1 OR NEW.id <> OLD.id OR NEW.op <> OLD.op OR NEW.kind <> OLD.kind
    OR NEW.time_ms <> OLD.time_ms OR NEW.memo <> OLD.memo OR NEW.job IS NOT OLD.job
BEGIN
    SELECT RAISE(ABORT, 'entries are never changed');
END;

CREATE TRIGGER ledger_entries_balance BEFORE UPDATE OF sealed ON ledger_entries
WHEN (
    SELECT count(*) >= 2 AND sum(atto) % 1000000000000000000 = 0
        AND sum(fog) + sum(atto) / 1000000000000000000 = 0
    FROM ledger_postings WHERE entry = NEW.id) IS NOT 1
BEGIN
    SELECT RAISE(ABORT, 'the entry does not balance');
END;

CREATE TRIGGER ledger_entries_stay BEFORE DELETE ON ledger_entries
BEGIN
    SELECT RAISE(ABORT, 'entries are never deleted');
END;

-- What each job held and paid. One row a job, and a closed job stays closed: this is what makes a
-- settlement happen once, whichever way it is learnt.
CREATE TABLE ledger_jobs (
    job         BLOB PRIMARY KEY CHECK (length(job) = 16),
    payer       BLOB NOT NULL CHECK (length(payer) = 32),
    worker      BLOB CHECK (worker IS NULL OR length(worker) = 32),
    state       TEXT NOT NULL CHECK (state IN ('locked', 'settled', 'refunded')),
    -- NULL where this ledger saw only the settlement.
    escrow_fog  INTEGER CHECK (escrow_fog >= 0),
    escrow_atto INTEGER CHECK (escrow_atto BETWEEN 0 AND 999999999999999999),
    price_fog   INTEGER CHECK (price_fog >= 0),
    price_atto  INTEGER CHECK (price_atto BETWEEN 0 AND 999999999999999999),
    closed_ms   INTEGER,
    CHECK ((escrow_fog IS NULL) = (escrow_atto IS NULL)),
    CHECK ((price_fog IS NULL) = (price_atto IS NULL)),
    CHECK ((state = 'settled') = (worker IS NOT NULL) AND (state = 'settled') = (price_fog IS NOT NULL)),
    CHECK ((state = 'locked') = (closed_ms IS NULL)),
    CHECK (state = 'settled' OR escrow_fog IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_jobs_worker ON ledger_jobs (worker, closed_ms) WHERE worker IS NOT NULL;
CREATE INDEX ledger_jobs_payer ON ledger_jobs (payer);

CREATE TRIGGER ledger_jobs_closed BEFORE UPDATE ON ledger_jobs
WHEN OLD.state <> 'locked' OR NEW.job <> OLD.job OR NEW.payer <> OLD.payer
    OR NEW.escrow_fog IS NOT OLD.escrow_fog OR NEW.escrow_atto IS NOT OLD.escrow_atto
BEGIN
    SELECT RAISE(ABORT, 'the job is closed');
END;

CREATE TRIGGER ledger_jobs_stay BEFORE DELETE ON ledger_jobs
BEGIN
    SELECT RAISE(ABORT, 'jobs are never deleted');
END;

CREATE TABLE ledger_members (
    person    BLOB PRIMARY KEY CHECK (length(person) = 32),
    name      TEXT NOT NULL CHECK (length(CAST(name AS BLOB)) <= 64),
    role      INTEGER NOT NULL CHECK (role BETWEEN 0 AND 4),
    joined_ms INTEGER NOT NULL CHECK (joined_ms >= 0),
    -- The newest signed join, as it travels; NULL until one was seen.
    record_id BLOB UNIQUE,
    record    BLOB
) STRICT, WITHOUT ROWID;
