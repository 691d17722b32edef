-- The entry relays that this node keeps to in a network, as betanet encodes them.
ALTER TABLE node_networks ADD COLUMN guards BLOB;
