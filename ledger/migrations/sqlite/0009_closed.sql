-- An account that is closed stays disabled for good, so that older programs refuse it too. When it was closed, and the key
-- of the action that did it, which its payouts name.
ALTER TABLE accounts ADD COLUMN closed_at INTEGER CHECK (closed_at IS NULL OR status = 'disabled');
ALTER TABLE accounts ADD COLUMN close_key TEXT CHECK ((close_key IS NULL) = (closed_at IS NULL));
