-- Schema version 4 for PostgreSQL: neighbours by name are neighbours in the index.
-- Run it in one transaction (README.md beside it says how), so that a failure leaves nothing behind.

-- The index over a grain's identity begins with its key instead of a hash of it: the ids that clients count up, or begin with a time, then come
-- to the same few pages, however many rows there are, and not each to another.
-- A program of schema 3 must not run from now on: its operations do not tell their users' lists, which remember them now, before they change.
ALTER TABLE OrleansStorage
    DROP CONSTRAINT PK_OrleansStorage,
    ADD CONSTRAINT PK_OrleansStorage PRIMARY KEY (GrainIdExtensionString, GrainTypeString, ServiceId, GrainIdHash, GrainTypeHash);

UPDATE RecognizeSchema SET Version = 4, OldestCompatible = 4;
