-- Whose card brought this network along; none for the own one and a configured one.
ALTER TABLE node_networks ADD COLUMN card_of BLOB;
