-- Claims for mixing: what a relay's operator is paid for an epoch, with the directory's word for it. Those whose operator
-- is no member yet wait (applied = 0).
CREATE TABLE node_mixing (
    relay   BLOB    NOT NULL CHECK (length(relay) = 32),
    epoch   INTEGER NOT NULL,
    person  BLOB    NOT NULL CHECK (length(person) = 32),
    body    BLOB    NOT NULL,
    applied INTEGER NOT NULL,
    PRIMARY KEY (relay, epoch)
) WITHOUT ROWID;
CREATE INDEX node_mixing_waiting ON node_mixing (person) WHERE applied = 0;
