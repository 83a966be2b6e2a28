-- Every rate card that an entry can name: its file, byte for byte, by the file's hash. One card a version, for ever.
CREATE TABLE rate_cards (
    sha256     TEXT    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL UNIQUE CHECK (version >= 1),
    text       TEXT    NOT NULL,
    learned_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER rate_cards_no_update BEFORE UPDATE ON rate_cards
BEGIN SELECT RAISE(ABORT, 'rate_cards is append-only'); END;

CREATE TRIGGER rate_cards_no_delete BEFORE DELETE ON rate_cards
BEGIN SELECT RAISE(ABORT, 'rate_cards is append-only'); END;

-- INSERT OR REPLACE deletes without the trigger above.
CREATE TRIGGER rate_cards_no_replace BEFORE INSERT ON rate_cards
WHEN EXISTS (
    SELECT 1 FROM rate_cards
    WHERE rowid = NEW.rowid OR sha256 = NEW.sha256 OR version = NEW.version
)
BEGIN SELECT RAISE(ABORT, 'rate_cards is append-only'); END;
