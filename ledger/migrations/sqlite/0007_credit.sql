-- Entries that the ledger makes itself (grants, corrections, expiries), and what only the ledger knows of an entry.
-- Rows of hash version 1 stay as they are: they have no posting.
ALTER TABLE credit_ledger ADD COLUMN entry_key TEXT;
-- How much the balance rises by such an entry, in picopax. NULL in debits.
ALTER TABLE credit_ledger ADD COLUMN amount_picopax INTEGER;
-- What a correction corrects: an exchange, or a grant's key.
ALTER TABLE credit_ledger ADD COLUMN corrects TEXT;
ALTER TABLE credit_ledger ADD COLUMN hash_v INTEGER NOT NULL DEFAULT 1 CHECK (hash_v IN (1, 2));
ALTER TABLE credit_ledger ADD COLUMN posting TEXT CHECK ((posting IS NULL) = (hash_v = 1));

CREATE UNIQUE INDEX credit_ledger_by_key ON credit_ledger (entry_key) WHERE entry_key IS NOT NULL;
CREATE INDEX credit_ledger_by_corrected ON credit_ledger (corrects, account) WHERE corrects IS NOT NULL;

DROP TRIGGER credit_ledger_no_replace;

CREATE TRIGGER credit_ledger_no_replace BEFORE INSERT ON credit_ledger
WHEN EXISTS (
    SELECT 1 FROM credit_ledger
    WHERE rowid = NEW.rowid OR exchange_id = NEW.exchange_id OR entry_key = NEW.entry_key
        OR (account = NEW.account AND account_seq = NEW.account_seq)
)
BEGIN SELECT RAISE(ABORT, 'credit_ledger is append-only'); END;

-- A program from before this migration may still have the file open. What it would write here lacks a posting, sums and
-- draws on no lot, so this statement fails in a way that it takes for a failing disk: it answers its filters with an error,
-- and they keep their debits.
CREATE TRIGGER credit_ledger_no_older_program BEFORE INSERT ON credit_ledger
WHEN NEW.hash_v = 1
BEGIN SELECT abs(-9223372036854775807 - 1); END;

-- When the account's last entry was recorded: no later entry is recorded before it, even if the clock is set back.
ALTER TABLE accounts ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET recorded_at =
    coalesce((SELECT max(recorded_at) FROM credit_ledger WHERE credit_ledger.account = accounts.name), 0);

-- What is left of each grant. Debits draw on lots in the order (expires_at, account_seq), those without an end last.
CREATE TABLE lots (
    entry_key      TEXT    NOT NULL PRIMARY KEY,
    account        TEXT    NOT NULL REFERENCES accounts (name),
    account_seq    INTEGER NOT NULL,
    amount_picopax INTEGER NOT NULL CHECK (amount_picopax >= 0),
    rest_picopax   INTEGER NOT NULL CHECK (rest_picopax BETWEEN 0 AND amount_picopax),
    expires_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX lots_by_account ON lots (account, account_seq);
-- The lots that can expire or be drawn on.
CREATE INDEX lots_open ON lots (account, expires_at) WHERE rest_picopax > 0;

-- What was spent with each token on each day.
CREATE TABLE token_days (
    account       TEXT    NOT NULL REFERENCES accounts (name),
    token_id      TEXT    NOT NULL,
    utc_day       TEXT    NOT NULL,
    spent_carry   INTEGER NOT NULL,
    spent_picopax INTEGER NOT NULL,
    PRIMARY KEY (account, token_id, utc_day)
) STRICT, WITHOUT ROWID;

-- SQLite adds up in 64 bits, so the costs are added up in two parts, which become a carry and its rest.
INSERT INTO token_days (account, token_id, utc_day, spent_carry, spent_picopax)
SELECT account, token_id, utc_day, (above + below / 1000000000) / 1000000000,
    ((above + below / 1000000000) % 1000000000) * 1000000000 + below % 1000000000
FROM (
    SELECT account, token_id, utc_day, sum(cost_picopax / 1000000000) AS above, sum(cost_picopax % 1000000000) AS below
    FROM credit_ledger WHERE funding = 'platform' GROUP BY account, token_id, utc_day
);
