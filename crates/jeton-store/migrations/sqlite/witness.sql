-- What a witness remembers: whose memory it is, and the last head of each log that was cosigned.

CREATE TABLE identity (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    -- The public key in its text form, name included.
    vkey TEXT NOT NULL
) STRICT;

CREATE TABLE cosigned (
    origin TEXT PRIMARY KEY,
    size   INTEGER NOT NULL CHECK (size >= 0),
    root   BLOB NOT NULL CHECK (length(root) = 32),
    -- The checkpoint with the log's signatures and the witness's own.
    note   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
