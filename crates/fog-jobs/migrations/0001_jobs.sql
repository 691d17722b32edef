-- A job, on either side. Times are milliseconds since 1970 by this device's clock.
CREATE TABLE job_jobs (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    role         INTEGER NOT NULL,           -- 0 submitter, 1 worker
    peer         BLOB    NOT NULL CHECK (length(peer) = 32),
    phase        INTEGER NOT NULL,           -- see Phase in store.rs
    note         TEXT    NOT NULL,
    spec         BLOB    NOT NULL,           -- SignedSpec, postcard
    receipt      BLOB,                       -- SignedReceipt, postcard
    settlement   BLOB,                       -- Settlement, postcard
    output       BLOB,                       -- BlobRef, postcard
    cursor       INTEGER NOT NULL DEFAULT 0, -- chunks below it are here, or asked for (job_wants), or served
    moved        INTEGER NOT NULL DEFAULT 0, -- bytes moved in the present direction
    total        INTEGER NOT NULL DEFAULT 0, -- bytes to move in the present direction
    created_ms   INTEGER NOT NULL,
    started_ms   INTEGER,
    finished_ms  INTEGER,
    touched_ms   INTEGER NOT NULL,           -- last word from the peer, or last time we asked again
    tries        INTEGER NOT NULL DEFAULT 0, -- times we asked again since the peer's last word
    incarnation  INTEGER NOT NULL DEFAULT 0, -- the engine that started the run
    collected    INTEGER NOT NULL DEFAULT 0  -- 1: its files are removed
);
CREATE INDEX job_jobs_by_phase ON job_jobs (phase, role);
CREATE INDEX job_jobs_by_time ON job_jobs (created_ms);

-- Chunks that were asked for and are not here yet. A slot counts through all chunks of all blobs being fetched.
CREATE TABLE job_wants (
    job  BLOB    NOT NULL REFERENCES job_jobs (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    PRIMARY KEY (job, slot)
) WITHOUT ROWID;
