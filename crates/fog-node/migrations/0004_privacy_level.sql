-- How what is sent to a contact goes through the mixnet: 'private' (three relays) or 'confidential' (five).
ALTER TABLE node_contacts ADD COLUMN privacy TEXT NOT NULL DEFAULT 'private' CHECK (privacy IN ('private', 'confidential'));
