-- Schema version 4 for SQL Server: neighbours by name are neighbours in the index.
-- One transaction over all batches: a failure, or a client that stops at it (sqlcmd -b), leaves nothing behind.

SET XACT_ABORT ON;
BEGIN TRANSACTION;
GO

-- The index over a grain's identity begins with its key instead of a hash of it: the ids that clients count up, or begin with a time, then come
-- to the same few pages, however many rows there are, and not each to another.
-- A program of schema 3 must not run from now on: its operations do not tell their users' lists, which remember them now, before they change.
DROP INDEX UX_OrleansStorage_Identity ON OrleansStorage;

CREATE UNIQUE INDEX UX_OrleansStorage_Identity
    ON OrleansStorage (GrainIdExtensionString, GrainTypeString, ServiceId, GrainIdHash, GrainTypeHash);
GO

UPDATE RecognizeSchema SET Version = 4, OldestCompatible = 4;
COMMIT TRANSACTION;
GO
