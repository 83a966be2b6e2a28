-- What an account may spend in a UTC day, in picopax, where that is not the rate card's default. NULL: the
-- card's default. 0: nothing.
ALTER TABLE accounts ADD COLUMN daily_cap_picopax INTEGER CHECK (daily_cap_picopax >= 0);
