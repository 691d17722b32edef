-- Direct connections: that I allow one with a contact, and their device's key and addresses (JSON) while they allow it, too.
ALTER TABLE node_contacts ADD COLUMN direct INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node_contacts ADD COLUMN direct_key BLOB CHECK (length(direct_key) = 32);
ALTER TABLE node_contacts ADD COLUMN direct_addresses TEXT;
