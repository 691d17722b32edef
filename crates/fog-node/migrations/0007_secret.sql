-- How what is sent to a contact goes: 'private' (three relays), 'confidential' (five), or 'secret' (five to a box of theirs at
-- a relay that is not their home). A column's check cannot be changed, so the column is replaced.
ALTER TABLE node_contacts ADD COLUMN level TEXT NOT NULL DEFAULT 'private' CHECK (level IN ('private', 'confidential', 'secret'));
UPDATE node_contacts SET level = privacy;
ALTER TABLE node_contacts DROP COLUMN privacy;
ALTER TABLE node_contacts RENAME COLUMN level TO privacy;
-- What they asked for: the higher of both holds.
ALTER TABLE node_contacts ADD COLUMN asked TEXT NOT NULL DEFAULT 'private' CHECK (asked IN ('private', 'confidential', 'secret'));
-- Their box: where it is, and its id there.
ALTER TABLE node_contacts ADD COLUMN box_relay BLOB CHECK (length(box_relay) = 32);
ALTER TABLE node_contacts ADD COLUMN box_id BLOB CHECK (length(box_id) = 32);
-- My box for them: where it is, and its number, from which its key is derived. Numbers are not given again.
ALTER TABLE node_contacts ADD COLUMN own_box_relay BLOB CHECK (length(own_box_relay) = 32);
ALTER TABLE node_contacts ADD COLUMN own_box_number INTEGER NOT NULL DEFAULT 0;
