-- The ledger of debits. A published migration never changes; the next one is a file with the next number.
-- Money is INTEGER picopax (10^-12 PAX). Moments of our own are INTEGER milliseconds since 1970 in UTC; what
-- comes from a debit is TEXT as it stands in the debit's canonical bytes.

CREATE TABLE accounts (
    name            TEXT    NOT NULL PRIMARY KEY,
    tier            TEXT    NOT NULL CHECK (tier IN ('free', 'credit')),
    status          TEXT    NOT NULL CHECK (status IN ('active', 'disabled')),
    created_at      INTEGER NOT NULL,
    -- The head of the account's chain: it shows that the last row is still there.
    account_seq     INTEGER NOT NULL CHECK (account_seq >= 0),
    head_hash       TEXT    NOT NULL,
    balance_picopax INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
    token_id   TEXT    NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL REFERENCES accounts (name),
    label      TEXT    NOT NULL,
    sha256     TEXT    NOT NULL UNIQUE,
    expires_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX tokens_by_account ON tokens (account);

-- One row per entry. `canonical` is the entry, to the byte; every other column down to utc_day repeats a field
-- of it for queries, and the last four chain it. What only an exchange has may be NULL: grants and corrections
-- will have none of it.
CREATE TABLE credit_ledger (
    canon_v                 INTEGER NOT NULL,
    kind                    TEXT    NOT NULL,
    exchange_id             TEXT    UNIQUE,
    account                 TEXT    NOT NULL REFERENCES accounts (name),
    tier                    TEXT,
    token_id                TEXT,
    funding                 TEXT,
    slot                    TEXT,
    intent_id               TEXT,
    goal_id                 TEXT,
    mode                    TEXT,
    model                   TEXT,
    provider                TEXT,
    stream                  INTEGER,
    upstream_status         INTEGER,
    response_id             TEXT,
    service_tier            TEXT,
    ending                  TEXT,
    flags                   TEXT,
    provenance              TEXT,
    usage_rules             TEXT,
    usage                   TEXT,
    estimator               TEXT,
    estimated_from          TEXT,
    tokens_input            INTEGER,
    tokens_cached_input     INTEGER,
    tokens_cache_write_input INTEGER,
    tokens_audio_input      INTEGER,
    tokens_output           INTEGER,
    tokens_audio_output     INTEGER,
    tokens_reasoning_output INTEGER,
    cost_picopax            INTEGER NOT NULL,
    rate_table_v            INTEGER,
    card_sha256             TEXT,
    occurred_at             TEXT    NOT NULL,
    settled_at              TEXT,
    utc_day                 TEXT    NOT NULL,
    canonical               BLOB    NOT NULL,
    account_seq             INTEGER NOT NULL CHECK (account_seq >= 1),
    prev_hash               TEXT    NOT NULL,
    entry_hash              TEXT    NOT NULL,
    recorded_at             INTEGER NOT NULL,
    UNIQUE (account, account_seq),
    CHECK (kind <> 'debit' OR exchange_id IS NOT NULL)
) STRICT;

CREATE TABLE day_totals (
    account       TEXT    NOT NULL REFERENCES accounts (name),
    utc_day       TEXT    NOT NULL,
    spent_picopax INTEGER NOT NULL,
    PRIMARY KEY (account, utc_day)
) STRICT, WITHOUT ROWID;

-- What was sent as a debit and did not become an entry. `bytes` is cut at the longest canonical form; `sha256`
-- is that of all of it, so that a line sent again is not kept again.
CREATE TABLE quarantine (
    exchange_id TEXT,
    reason      TEXT    NOT NULL CHECK (reason IN ('conflict', 'rejected')),
    message     TEXT    NOT NULL,
    bytes       BLOB    NOT NULL,
    received_at INTEGER NOT NULL,
    sha256      TEXT    NOT NULL,
    UNIQUE (sha256, reason)
) STRICT;

CREATE TRIGGER credit_ledger_no_update BEFORE UPDATE ON credit_ledger
BEGIN SELECT RAISE(ABORT, 'credit_ledger is append-only'); END;

CREATE TRIGGER credit_ledger_no_delete BEFORE DELETE ON credit_ledger
BEGIN SELECT RAISE(ABORT, 'credit_ledger is append-only'); END;

-- INSERT OR REPLACE deletes without the trigger above.
CREATE TRIGGER credit_ledger_no_replace BEFORE INSERT ON credit_ledger
WHEN EXISTS (
    SELECT 1 FROM credit_ledger
    WHERE rowid = NEW.rowid OR exchange_id = NEW.exchange_id
        OR (account = NEW.account AND account_seq = NEW.account_seq)
)
BEGIN SELECT RAISE(ABORT, 'credit_ledger is append-only'); END;

CREATE TRIGGER quarantine_no_update BEFORE UPDATE ON quarantine
BEGIN SELECT RAISE(ABORT, 'quarantine is append-only'); END;

CREATE TRIGGER quarantine_no_delete BEFORE DELETE ON quarantine
BEGIN SELECT RAISE(ABORT, 'quarantine is append-only'); END;

CREATE TRIGGER quarantine_no_replace BEFORE INSERT ON quarantine
WHEN EXISTS (
    SELECT 1 FROM quarantine
    WHERE rowid = NEW.rowid OR (sha256 = NEW.sha256 AND reason = NEW.reason)
)
BEGIN SELECT RAISE(ABORT, 'quarantine is append-only'); END;
