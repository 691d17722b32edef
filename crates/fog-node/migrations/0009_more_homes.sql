-- Home relays beside the first, 32 bytes each: mine, and a contact's.
ALTER TABLE node_networks ADD COLUMN more_homes BLOB;
ALTER TABLE node_contacts ADD COLUMN more_homes BLOB;
