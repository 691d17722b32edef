-- What its owner calls a job is an order now; it is tried on one device after another, or on several, and each such
-- attempt is a row of job_jobs as before.

-- Room between the phases for new ones.
UPDATE job_jobs SET phase = phase * 10;
ALTER TABLE job_jobs ADD COLUMN version    INTEGER NOT NULL DEFAULT 1; -- of spec and output: 1 or 2
ALTER TABLE job_jobs ADD COLUMN order_id   BLOB;                       -- the order that it is an attempt of
ALTER TABLE job_jobs ADD COLUMN spot       INTEGER NOT NULL DEFAULT 0; -- 1: a check of the worker, whose result is known
ALTER TABLE job_jobs ADD COLUMN stage      INTEGER NOT NULL DEFAULT 0; -- see Stage in message.rs
ALTER TABLE job_jobs ADD COLUMN fault      INTEGER;                    -- see Fault in message.rs
ALTER TABLE job_jobs ADD COLUMN commitment BLOB;
ALTER TABLE job_jobs ADD COLUMN nonce      BLOB;
ALTER TABLE job_jobs ADD COLUMN revealed   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job_jobs ADD COLUMN checkpoint BLOB;                       -- the last one that is whole and here
ALTER TABLE job_jobs ADD COLUMN offered    BLOB;                       -- submitter: the one that arrives; worker: the one being handed over
ALTER TABLE job_jobs ADD COLUMN permille   INTEGER;
ALTER TABLE job_jobs ADD COLUMN heard_ms   INTEGER NOT NULL DEFAULT 0; -- last word from the peer
ALTER TABLE job_jobs ADD COLUMN since_ms   INTEGER NOT NULL DEFAULT 0; -- when the present phase and stage began
UPDATE job_jobs SET heard_ms = touched_ms, order_id = CASE WHEN role = 0 THEN id END;
CREATE INDEX job_jobs_by_order ON job_jobs (order_id);
CREATE INDEX job_jobs_by_peer ON job_jobs (peer, role, phase);

-- An order: a single one, an array, or an element of an array.
CREATE TABLE job_orders (
    number      INTEGER NOT NULL PRIMARY KEY, -- in the sequence of submission
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    version     INTEGER NOT NULL,             -- of template: 1 is a SignedSpec of the first version
    template    BLOB,                         -- OrderSpec, postcard; none: the array's
    parent      BLOB,                         -- of an element: its array
    position    INTEGER,                      -- of an element: its index
    first       INTEGER,                      -- of an array: its indices
    last        INTEGER,
    local       INTEGER NOT NULL,             -- 1: it runs on this device
    state       INTEGER NOT NULL,             -- see State in orders/model.rs
    note        TEXT    NOT NULL,
    copies      INTEGER NOT NULL DEFAULT 0,   -- results that are compared; 0: not decided
    tries       INTEGER NOT NULL DEFAULT 0,   -- attempts that came to nothing
    due_ms      INTEGER,                      -- when to look at it again
    permille    INTEGER,
    checkpoint  BLOB,                         -- to go on from
    result      BLOB,                         -- outputs and exit code
    winner      BLOB,                         -- the attempt whose result it is
    paid        BLOB,                         -- of an array: paid so far, 10^-18 FOG, 16 bytes, big-endian
    created_ms  INTEGER NOT NULL,
    since_ms    INTEGER NOT NULL DEFAULT 0,   -- since when it could be done; earlier attempts do not count
    started_ms  INTEGER,
    finished_ms INTEGER
);
CREATE INDEX job_orders_by_due ON job_orders (local, due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX job_orders_by_parent ON job_orders (parent, state);
CREATE INDEX job_orders_by_position ON job_orders (parent, position);

INSERT INTO job_orders (id, version, template, local, state, note, copies, result, winner, created_ms, since_ms, started_ms, finished_ms)
SELECT id, 1, spec, 0, CASE WHEN phase >= 50 THEN phase ELSE 30 END, note, 1, NULL, CASE WHEN phase = 50 THEN id END,
       created_ms, created_ms, started_ms, finished_ms
FROM job_jobs WHERE role = 0 ORDER BY created_ms, id;

-- An order that waits for others.
CREATE TABLE job_needs (
    job   BLOB NOT NULL,
    needs BLOB NOT NULL,
    PRIMARY KEY (job, needs)
) WITHOUT ROWID;
CREATE INDEX job_needs_by_needs ON job_needs (needs);

-- How well somebody did as a worker, as this node saw it. Weights are in thousandths.
CREATE TABLE job_reputation (
    person       BLOB    NOT NULL PRIMARY KEY CHECK (length(person) = 32),
    good         INTEGER NOT NULL,
    bad          INTEGER NOT NULL,
    samples      INTEGER NOT NULL,
    valid_in_row INTEGER NOT NULL,
    updated_ms   INTEGER NOT NULL
) WITHOUT ROWID;
