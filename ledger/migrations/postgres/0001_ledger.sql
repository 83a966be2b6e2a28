-- The ledger in PostgreSQL: the tables of the SQLite ledger as its newest schema has them. A published migration never
-- changes; the next one is a file with the next number. Money is BIGINT picopax (10^-12 PAX). Moments of our own are BIGINT
-- milliseconds since 1970 in UTC. Texts sort by their bytes, as in SQLite, whatever the database's own collation is.

CREATE TABLE accounts (
    name              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tier              TEXT COLLATE "C" NOT NULL CHECK (tier IN ('free', 'credit')),
    status            TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'disabled')),
    created_at        BIGINT NOT NULL,
    -- The head of the account's chain: it shows that the last row is still there.
    account_seq       BIGINT NOT NULL CHECK (account_seq >= 0),
    head_hash         TEXT COLLATE "C" NOT NULL,
    balance_picopax   BIGINT NOT NULL,
    -- What the account may spend in a UTC day, where that is not the rate card's default.
    daily_cap_picopax BIGINT CHECK (daily_cap_picopax >= 0),
    -- A sum is carry * 10^18 + picopax.
    balance_carry     BIGINT NOT NULL DEFAULT 0,
    -- When the account's last entry was recorded.
    recorded_at       BIGINT NOT NULL DEFAULT 0,
    -- What open holds of tier credit set aside from the balance.
    held_picopax      BIGINT NOT NULL DEFAULT 0 CHECK (held_picopax >= 0),
    closed_at         BIGINT CHECK (closed_at IS NULL OR status = 'disabled'),
    close_key         TEXT COLLATE "C" CHECK ((close_key IS NULL) = (closed_at IS NULL))
);

CREATE TABLE tokens (
    token_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account    TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    label      TEXT COLLATE "C" NOT NULL,
    sha256     TEXT COLLATE "C" NOT NULL UNIQUE,
    expires_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE INDEX tokens_by_account ON tokens (account);

-- One row per entry. `canonical` is the entry, to the byte; the columns up to `corrects` repeat its fields for queries.
-- `rowid` is the place in the order of recording: within an account it rises with the number; between accounts, rows that
-- commit at the same time may have places in either order.
CREATE TABLE credit_ledger (
    rowid                   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    canon_v                 BIGINT NOT NULL,
    kind                    TEXT COLLATE "C" NOT NULL,
    exchange_id             TEXT COLLATE "C" UNIQUE,
    account                 TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    tier                    TEXT COLLATE "C",
    token_id                TEXT COLLATE "C",
    funding                 TEXT COLLATE "C",
    slot                    TEXT COLLATE "C",
    intent_id               TEXT COLLATE "C",
    goal_id                 TEXT COLLATE "C",
    mode                    TEXT COLLATE "C",
    model                   TEXT COLLATE "C",
    provider                TEXT COLLATE "C",
    stream                  BIGINT,
    upstream_status         BIGINT,
    response_id             TEXT COLLATE "C",
    service_tier            TEXT COLLATE "C",
    ending                  TEXT COLLATE "C",
    flags                   TEXT COLLATE "C",
    provenance              TEXT COLLATE "C",
    usage_rules             TEXT COLLATE "C",
    usage                   TEXT COLLATE "C",
    estimator               TEXT COLLATE "C",
    estimated_from          TEXT COLLATE "C",
    tokens_input            BIGINT,
    tokens_cached_input     BIGINT,
    tokens_cache_write_input BIGINT,
    tokens_audio_input      BIGINT,
    tokens_output           BIGINT,
    tokens_audio_output     BIGINT,
    tokens_reasoning_output BIGINT,
    cost_picopax            BIGINT NOT NULL,
    rate_table_v            BIGINT,
    card_sha256             TEXT COLLATE "C",
    occurred_at             TEXT COLLATE "C" NOT NULL,
    settled_at              TEXT COLLATE "C",
    utc_day                 TEXT COLLATE "C" NOT NULL,
    -- What version 2 of a debit says beside version 1.
    asked_model             TEXT COLLATE "C",
    provider_request_id     TEXT COLLATE "C",
    hold_id                 TEXT COLLATE "C",
    n                       BIGINT,
    stated_maximum          BIGINT,
    input_limit             BIGINT,
    output_limit            BIGINT,
    unseen_ms               BIGINT,
    tokens_cache_write_1h_input BIGINT,
    tokens_image_input      BIGINT,
    tokens_image_output     BIGINT,
    first_byte_ms           BIGINT,
    duration_ms             BIGINT,
    -- What the entries have that the ledger makes itself.
    entry_key               TEXT COLLATE "C" UNIQUE,
    amount_picopax          BIGINT,
    corrects                TEXT COLLATE "C",
    canonical               BYTEA NOT NULL,
    account_seq             BIGINT NOT NULL CHECK (account_seq >= 1),
    prev_hash               TEXT COLLATE "C" NOT NULL,
    entry_hash              TEXT COLLATE "C" NOT NULL,
    recorded_at             BIGINT NOT NULL,
    hash_v                  BIGINT NOT NULL CHECK (hash_v IN (1, 2)),
    posting                 TEXT COLLATE "C" CHECK ((posting IS NULL) = (hash_v = 1)),
    UNIQUE (account, account_seq),
    CHECK (kind <> 'debit' OR exchange_id IS NOT NULL)
);

CREATE INDEX credit_ledger_by_corrected ON credit_ledger (corrects, account) WHERE corrects IS NOT NULL;

CREATE TABLE day_totals (
    account       TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    utc_day       TEXT COLLATE "C" NOT NULL,
    spent_carry   BIGINT NOT NULL DEFAULT 0,
    spent_picopax BIGINT NOT NULL,
    held_picopax  BIGINT NOT NULL DEFAULT 0 CHECK (held_picopax >= 0),
    PRIMARY KEY (account, utc_day)
);

CREATE TABLE token_days (
    account       TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    token_id      TEXT COLLATE "C" NOT NULL,
    utc_day       TEXT COLLATE "C" NOT NULL,
    spent_carry   BIGINT NOT NULL,
    spent_picopax BIGINT NOT NULL,
    held_picopax  BIGINT NOT NULL DEFAULT 0 CHECK (held_picopax >= 0),
    PRIMARY KEY (account, token_id, utc_day)
);

-- What is left of each grant.
CREATE TABLE lots (
    entry_key      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account        TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    account_seq    BIGINT NOT NULL,
    amount_picopax BIGINT NOT NULL CHECK (amount_picopax >= 0),
    rest_picopax   BIGINT NOT NULL CHECK (rest_picopax BETWEEN 0 AND amount_picopax),
    expires_at     BIGINT
);

CREATE INDEX lots_by_account ON lots (account, account_seq);
CREATE INDEX lots_open ON lots (account, expires_at) WHERE rest_picopax > 0;

-- What is set aside for calls that are under way.
CREATE TABLE holds (
    exchange_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account      TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    token_id     TEXT COLLATE "C" NOT NULL,
    utc_day      TEXT COLLATE "C" NOT NULL CHECK (utc_day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'),
    tier         TEXT COLLATE "C" NOT NULL CHECK (tier IN ('free', 'credit')),
    held_picopax BIGINT NOT NULL CHECK (held_picopax >= 0),
    envoy        TEXT COLLATE "C" NOT NULL,
    made_at      BIGINT NOT NULL,
    lost         BYTEA,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'posted', 'voided', 'expired', 'charged')),
    ended_at     BIGINT CHECK ((ended_at IS NULL) = (state = 'open')),
    CHECK ((lost IS NOT NULL) = (state IN ('open', 'expired')))
);

CREATE INDEX holds_by_account ON holds (account, exchange_id);
CREATE INDEX holds_open_by_envoy ON holds (envoy) WHERE state = 'open';
CREATE INDEX holds_open_by_age ON holds (made_at) WHERE state = 'open';
CREATE INDEX holds_ended ON holds (state, ended_at) WHERE state <> 'open';

CREATE TABLE tombstones (
    exchange_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account     TEXT COLLATE "C" NOT NULL REFERENCES accounts (name),
    made_at     BIGINT NOT NULL
);

CREATE INDEX tombstones_by_age ON tombstones (made_at);

CREATE TABLE leases (
    envoy      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    renewed_at BIGINT NOT NULL
);

CREATE INDEX leases_by_age ON leases (renewed_at);

CREATE TABLE rate_cards (
    sha256     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version    BIGINT NOT NULL UNIQUE CHECK (version >= 1),
    text       TEXT COLLATE "C" NOT NULL,
    learned_at BIGINT NOT NULL
);

CREATE TABLE quarantine (
    rowid       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange_id TEXT COLLATE "C",
    reason      TEXT COLLATE "C" NOT NULL CHECK (reason IN ('conflict', 'rejected')),
    message     TEXT COLLATE "C" NOT NULL,
    bytes       BYTEA NOT NULL,
    received_at BIGINT NOT NULL,
    sha256      TEXT COLLATE "C" NOT NULL,
    UNIQUE (sha256, reason)
);

CREATE TABLE quarantine_seen (
    sha256  TEXT COLLATE "C" NOT NULL,
    reason  TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL,
    seen_by TEXT COLLATE "C" NOT NULL,
    because TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (sha256, reason),
    FOREIGN KEY (sha256, reason) REFERENCES quarantine (sha256, reason)
);

CREATE TABLE epochs (
    epoch    BIGINT NOT NULL PRIMARY KEY,
    began_at BIGINT NOT NULL,
    because  TEXT COLLATE "C" NOT NULL CHECK (because IN ('made', 'served', 'restored'))
);

INSERT INTO epochs (epoch, began_at, because)
SELECT now, now, 'made' FROM (SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT) AS now) AS clock;

CREATE TABLE operator_log (
    seq            BIGINT NOT NULL PRIMARY KEY CHECK (seq >= 1),
    canon_v        BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    by             TEXT COLLATE "C" NOT NULL,
    key            TEXT COLLATE "C" NOT NULL UNIQUE,
    action         TEXT COLLATE "C" NOT NULL,
    subject        TEXT COLLATE "C" NOT NULL,
    account        TEXT COLLATE "C",
    before         TEXT COLLATE "C",
    after          TEXT COLLATE "C",
    reason         TEXT COLLATE "C",
    request_sha256 TEXT COLLATE "C" NOT NULL,
    reply          TEXT COLLATE "C",
    canonical      BYTEA NOT NULL,
    prev_hash      TEXT COLLATE "C" NOT NULL,
    row_hash       TEXT COLLATE "C" NOT NULL
);

CREATE INDEX operator_log_by_subject ON operator_log (subject, seq);
CREATE INDEX operator_log_by_account ON operator_log (account, seq);

CREATE TABLE operator_log_head (
    one      BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    seq      BIGINT NOT NULL CHECK (seq >= 0),
    row_hash TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL
);

INSERT INTO operator_log_head (one, seq, row_hash, at)
VALUES (1, 0, '07b94a71d3c1742bd18df3337f7760efa5c67fa572f5c0d0da0b9d8151a9abfb', 0);

-- The guards. They are ENABLE ALWAYS, so that a session in the role of a replica obeys them too.
CREATE FUNCTION pax_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END$$;

CREATE FUNCTION pax_one_row_further() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN IF NEW.seq <> OLD.seq + 1 THEN RAISE EXCEPTION 'operator_log_head goes from one row to the next'; END IF; RETURN NEW; END$$;

CREATE FUNCTION pax_no_return() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN IF NEW.epoch <= (SELECT max(epoch) FROM epochs) THEN RAISE EXCEPTION 'epochs is append-only: a new one is above all before it'; END IF; RETURN NEW; END$$;

DO
$$
DECLARE guarded TEXT;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['credit_ledger', 'quarantine', 'quarantine_seen', 'rate_cards', 'epochs', 'operator_log']
    LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE DELETE OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION pax_append_only()',
            guarded || '_no_change', guarded);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', guarded, guarded || '_no_change');
    END LOOP;
    FOREACH guarded IN ARRAY ARRAY['credit_ledger', 'quarantine', 'quarantine_seen', 'rate_cards', 'epochs', 'operator_log',
        'operator_log_head']
    LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION pax_append_only()',
            guarded || '_no_truncate', guarded);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', guarded, guarded || '_no_truncate');
    END LOOP;
END
$$;

CREATE TRIGGER operator_log_head_no_delete BEFORE DELETE ON operator_log_head FOR EACH ROW EXECUTE FUNCTION pax_append_only();
CREATE TRIGGER operator_log_head_no_return BEFORE UPDATE ON operator_log_head FOR EACH ROW EXECUTE FUNCTION pax_one_row_further();
CREATE TRIGGER epochs_no_return BEFORE INSERT ON epochs FOR EACH ROW EXECUTE FUNCTION pax_no_return();
ALTER TABLE operator_log_head ENABLE ALWAYS TRIGGER operator_log_head_no_delete;
ALTER TABLE operator_log_head ENABLE ALWAYS TRIGGER operator_log_head_no_return;
ALTER TABLE epochs ENABLE ALWAYS TRIGGER epochs_no_return;
