-- What operators did: one row for each action, written in the action's own transaction. `canonical` is the row, to the
-- byte; the columns before it repeat its fields for queries, and the last two chain it. `before`, `after` and `reply` are
-- canonical JSON; NULL if there was nothing. A key is used once, for ever.
CREATE TABLE operator_log (
    seq            INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 1),
    canon_v        INTEGER NOT NULL,
    at             INTEGER NOT NULL,
    by             TEXT    NOT NULL,
    key            TEXT    NOT NULL UNIQUE,
    action         TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    account        TEXT,
    before         TEXT,
    after          TEXT,
    reason         TEXT,
    request_sha256 TEXT    NOT NULL,
    reply          TEXT,
    canonical      BLOB    NOT NULL,
    prev_hash      TEXT    NOT NULL,
    row_hash       TEXT    NOT NULL
) STRICT;

CREATE INDEX operator_log_by_subject ON operator_log (subject, seq);
CREATE INDEX operator_log_by_account ON operator_log (account, seq);

-- The head of the log: it shows that the last row is still there. Its hash before the first row is SHA-256 of
-- "pax-operator-log/1\n".
CREATE TABLE operator_log_head (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    seq      INTEGER NOT NULL CHECK (seq >= 0),
    row_hash TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT;

INSERT INTO operator_log_head (one, seq, row_hash, at)
VALUES (1, 0, '07b94a71d3c1742bd18df3337f7760efa5c67fa572f5c0d0da0b9d8151a9abfb', 0);

CREATE TRIGGER operator_log_no_update BEFORE UPDATE ON operator_log
BEGIN SELECT RAISE(ABORT, 'operator_log is append-only'); END;

CREATE TRIGGER operator_log_no_delete BEFORE DELETE ON operator_log
BEGIN SELECT RAISE(ABORT, 'operator_log is append-only'); END;

-- INSERT OR REPLACE deletes without the trigger above.
CREATE TRIGGER operator_log_no_replace BEFORE INSERT ON operator_log
WHEN EXISTS (SELECT 1 FROM operator_log WHERE seq = NEW.seq OR key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'operator_log is append-only'); END;

CREATE TRIGGER operator_log_head_no_return BEFORE UPDATE ON operator_log_head
WHEN NEW.seq <> OLD.seq + 1
BEGIN SELECT RAISE(ABORT, 'operator_log_head goes from one row to the next'); END;

CREATE TRIGGER operator_log_head_no_delete BEFORE DELETE ON operator_log_head
BEGIN SELECT RAISE(ABORT, 'operator_log_head goes from one row to the next'); END;

CREATE TRIGGER operator_log_head_no_replace BEFORE INSERT ON operator_log_head
WHEN EXISTS (SELECT 1 FROM operator_log_head)
BEGIN SELECT RAISE(ABORT, 'operator_log_head goes from one row to the next'); END;
