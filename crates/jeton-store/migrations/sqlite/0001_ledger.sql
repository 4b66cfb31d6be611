-- The ledger. Rows are only ever added; an opening may be erased (issue by event), a leaf never.
CREATE TABLE event (
    idx    INTEGER PRIMARY KEY,
    leaf   BLOB NOT NULL CHECK (length(leaf) = 106),
    salt   BLOB CHECK (length(salt) = 32),
    record BLOB
) STRICT;

-- One row: where the ledger ends. Its frontier is the Merkle tree's right edge.
CREATE TABLE head (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    size     INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    batch    BLOB NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, x'', x'');

-- Full tiles of the tree (c2sp.org/tlog-tiles): 256 hashes each. Partial ones are recomputed from the leaves.
CREATE TABLE tile (
    level INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    data  BLOB NOT NULL CHECK (length(data) = 8192),
    PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;

-- The words beside an event that may be erased, and the way back through the history of one thing.
CREATE TABLE trail (
    tenant   BLOB NOT NULL,
    idx      INTEGER NOT NULL,
    about    BLOB NOT NULL,
    previous INTEGER,
    salt     BLOB,
    words    BLOB,
    PRIMARY KEY (tenant, idx)
) STRICT, WITHOUT ROWID;

-- What replay gives, for lists and search. No decision reads these.
CREATE TABLE token (
    tenant  BLOB NOT NULL,
    id      BLOB NOT NULL,
    event   INTEGER NOT NULL,
    subject BLOB NOT NULL,
    class   INTEGER NOT NULL,
    state   INTEGER NOT NULL,
    expires INTEGER,
    body    BLOB NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE entity (
    tenant BLOB NOT NULL,
    kind   TEXT NOT NULL,
    id     BLOB NOT NULL,
    event  INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (tenant, kind, id)
) STRICT, WITHOUT ROWID;

-- Observations: what may be lost.
CREATE TABLE last_use (
    token   BLOB PRIMARY KEY,
    at      INTEGER NOT NULL,
    address TEXT
) STRICT, WITHOUT ROWID;
