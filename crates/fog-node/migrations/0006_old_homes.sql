-- Home relays of before, to which mail may still come: relay (32 bytes) and until when it is listened to (8 bytes, Unix
-- seconds, big-endian), one after the other.
ALTER TABLE node_networks ADD COLUMN old_homes BLOB;
