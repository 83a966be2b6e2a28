-- What version 2 of a debit says beside version 1: NULL in rows of version 1, which lack it.
ALTER TABLE credit_ledger ADD COLUMN asked_model TEXT;
ALTER TABLE credit_ledger ADD COLUMN provider_request_id TEXT;
ALTER TABLE credit_ledger ADD COLUMN hold_id TEXT;
ALTER TABLE credit_ledger ADD COLUMN n INTEGER;
ALTER TABLE credit_ledger ADD COLUMN stated_maximum INTEGER;
ALTER TABLE credit_ledger ADD COLUMN input_limit INTEGER;
ALTER TABLE credit_ledger ADD COLUMN output_limit INTEGER;
ALTER TABLE credit_ledger ADD COLUMN unseen_ms INTEGER;
ALTER TABLE credit_ledger ADD COLUMN tokens_cache_write_1h_input INTEGER;
ALTER TABLE credit_ledger ADD COLUMN tokens_image_input INTEGER;
ALTER TABLE credit_ledger ADD COLUMN tokens_image_output INTEGER;
ALTER TABLE credit_ledger ADD COLUMN first_byte_ms INTEGER;
ALTER TABLE credit_ledger ADD COLUMN duration_ms INTEGER;
