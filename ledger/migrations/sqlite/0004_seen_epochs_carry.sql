-- What an operator has looked at in quarantine, who it was and why it may rest. The lines themselves never change; they
-- are named by what is unique of them, for a rowid may be given anew when the file is rewritten.
CREATE TABLE quarantine_seen (
    sha256  TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    seen_by TEXT    NOT NULL,
    because TEXT    NOT NULL,
    PRIMARY KEY (sha256, reason),
    FOREIGN KEY (sha256, reason) REFERENCES quarantine (sha256, reason)
) STRICT;

CREATE TRIGGER quarantine_seen_no_update BEFORE UPDATE ON quarantine_seen
BEGIN SELECT RAISE(ABORT, 'quarantine_seen is append-only'); END;

CREATE TRIGGER quarantine_seen_no_delete BEFORE DELETE ON quarantine_seen
BEGIN SELECT RAISE(ABORT, 'quarantine_seen is append-only'); END;

-- INSERT OR REPLACE deletes without the trigger above.
CREATE TRIGGER quarantine_seen_no_replace BEFORE INSERT ON quarantine_seen
WHEN EXISTS (
    SELECT 1 FROM quarantine_seen
    WHERE rowid = NEW.rowid OR (sha256 = NEW.sha256 AND reason = NEW.reason)
)
BEGIN SELECT RAISE(ABORT, 'quarantine_seen is append-only'); END;

-- The ledger's epochs; the highest is the present one. Each start of the service and each restore begins one, so that
-- filters believe the numbers of a file that took another one's place. An epoch is the moment it began, in milliseconds,
-- or one more than the one before where a clock was set back: two restores of one backup differ.
CREATE TABLE epochs (
    epoch    INTEGER NOT NULL PRIMARY KEY,
    began_at INTEGER NOT NULL,
    because  TEXT    NOT NULL CHECK (because IN ('made', 'served', 'restored'))
) STRICT;

INSERT INTO epochs (epoch, began_at, because)
SELECT now, now, 'made' FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now);

CREATE TRIGGER epochs_no_update BEFORE UPDATE ON epochs
BEGIN SELECT RAISE(ABORT, 'epochs is append-only'); END;

CREATE TRIGGER epochs_no_delete BEFORE DELETE ON epochs
BEGIN SELECT RAISE(ABORT, 'epochs is append-only'); END;

CREATE TRIGGER epochs_no_return BEFORE INSERT ON epochs
WHEN NEW.epoch <= (SELECT max(epoch) FROM epochs)
BEGIN SELECT RAISE(ABORT, 'epochs is append-only: a new one is above all before it'); END;

-- No sum leaves its range, so that no entry is ever refused for one: a sum is carry * 10^18 + picopax. The carry is 0
-- where the sum fits the other column, as any sum of true costs does.
ALTER TABLE accounts ADD COLUMN balance_carry INTEGER NOT NULL DEFAULT 0;
ALTER TABLE day_totals ADD COLUMN spent_carry INTEGER NOT NULL DEFAULT 0;
