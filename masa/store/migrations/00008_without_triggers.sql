-- +goose Up

-- intended and audited are kept up by the program, with the same change:
-- a trigger has SQLite copy each page that its statement touches, to be able to
-- undo half of it, which costs more than what the triggers did.
-- `briskest trail verify` compares as before.
DROP TRIGGER vouchers_intended;
DROP TRIGGER outcomes_reopened;
DROP TRIGGER outcomes_first;
DROP TRIGGER outcomes_again;
DROP TRIGGER outcomes_first_audited;
DROP TRIGGER outcomes_again_audited;
