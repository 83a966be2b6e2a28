-- What is set aside for calls that are under way. A hold is open until its debit posts it, a void releases it, or it
-- expires with its Envoy's lease. What each scope has in open holds is a sum of its own, so that the decision about the
-- next hold reads no other hold.
CREATE TABLE holds (
    exchange_id   TEXT    NOT NULL PRIMARY KEY,
    account       TEXT    NOT NULL REFERENCES accounts (name),
    token_id      TEXT    NOT NULL,
    -- The day and the tier at admission: they decide what the hold draws on, whatever the account's tier is when it ends.
    utc_day       TEXT    NOT NULL CHECK (utc_day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    tier          TEXT    NOT NULL CHECK (tier IN ('free', 'credit')),
    held_picopax  INTEGER NOT NULL CHECK (held_picopax >= 0),
    envoy         TEXT    NOT NULL,
    made_at       INTEGER NOT NULL,
    -- The debit that the call is charged with if nobody ever reports what it cost. Once the call has an entry or was
    -- voided, nobody can need it.
    lost          BLOB,
    state         TEXT    NOT NULL CHECK (state IN ('open', 'posted', 'voided', 'expired', 'charged')),
    ended_at      INTEGER CHECK ((ended_at IS NULL) = (state = 'open')),
    CHECK ((lost IS NOT NULL) = (state IN ('open', 'expired')))
) STRICT;

CREATE INDEX holds_by_account ON holds (account, exchange_id);
CREATE INDEX holds_open_by_envoy ON holds (envoy) WHERE state = 'open';
CREATE INDEX holds_open_by_age ON holds (made_at) WHERE state = 'open';
CREATE INDEX holds_ended ON holds (state, ended_at) WHERE state <> 'open';

-- Voids of holds that the ledger had not seen: such a hold may still be under way, and must not be made any more.
CREATE TABLE tombstones (
    exchange_id TEXT    NOT NULL PRIMARY KEY,
    account     TEXT    NOT NULL REFERENCES accounts (name),
    made_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstones_by_age ON tombstones (made_at);

-- When each Envoy that has holds was last heard.
CREATE TABLE leases (
    envoy      TEXT    NOT NULL PRIMARY KEY,
    renewed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_by_age ON leases (renewed_at);

-- What open holds of tier credit set aside from the balance.
ALTER TABLE accounts ADD COLUMN held_picopax INTEGER NOT NULL DEFAULT 0 CHECK (held_picopax >= 0);
-- What open holds of that day set aside, whatever their tier.
ALTER TABLE day_totals ADD COLUMN held_picopax INTEGER NOT NULL DEFAULT 0 CHECK (held_picopax >= 0);
ALTER TABLE token_days ADD COLUMN held_picopax INTEGER NOT NULL DEFAULT 0 CHECK (held_picopax >= 0);
