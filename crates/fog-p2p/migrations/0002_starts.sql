-- How often this node has started. Acknowledgements are numbered by it: a clock may be set back, this is not.
-- It begins above what the numbers were before, which were the start's Unix time in milliseconds (in units of
-- 2^32 below 4096 until the year 2527): so a sender that remembers one of these believes the new ones.
CREATE TABLE p2p_starts (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    starts INTEGER NOT NULL CHECK (starts BETWEEN 0 AND 4294967295)
) STRICT;

INSERT INTO p2p_starts (one, starts) VALUES (1, 4095);
