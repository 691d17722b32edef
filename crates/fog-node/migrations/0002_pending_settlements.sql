-- A settlement that the ledger cannot book yet waits here (applied = 0): until its payer has joined, or has the money.
ALTER TABLE node_settlements ADD COLUMN applied INTEGER NOT NULL DEFAULT 1;
-- Whether the other members were told of it: once its payer is a member.
ALTER TABLE node_settlements ADD COLUMN passed_on INTEGER NOT NULL DEFAULT 1;
-- Who pays, of those that wait.
ALTER TABLE node_settlements ADD COLUMN payer BLOB;

CREATE INDEX node_settlements_pending ON node_settlements (payer) WHERE applied = 0;
