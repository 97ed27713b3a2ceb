-- Schema version 4 for SQLite: neighbours by name are neighbours in the index.
-- Run it in one transaction (README.md beside it says how), so that a failure leaves nothing behind.

-- The index over a grain's identity begins with its key instead of a hash of it: the ids that clients count up, or begin with a time, then come
-- to the same few pages, however many rows there are, and not each to another.
-- A program of schema 3 must not run from now on: its operations do not tell their users' lists, which remember them now, before they change.
-- An index that belongs to a table is changed by writing the table anew; the view over it goes and comes back.
DROP VIEW RecognizeOperations;

CREATE TABLE OrleansStorageByKey
(
    GrainIdHash INTEGER NOT NULL,
    GrainIdN0 INTEGER NOT NULL,
    GrainIdN1 INTEGER NOT NULL,
    GrainTypeHash INTEGER NOT NULL,
    GrainTypeString TEXT NOT NULL,
    GrainIdExtensionString TEXT NOT NULL,
    ServiceId TEXT NOT NULL,
    PayloadBinary BLOB NULL,
    ModifiedOn TEXT NOT NULL,
    Version INTEGER NOT NULL,
    HistoryKey TEXT NULL,
    CONSTRAINT UQ_OrleansStorage_Identity UNIQUE (GrainIdExtensionString, GrainTypeString, ServiceId, GrainIdHash, GrainTypeHash),
    CONSTRAINT CK_OrleansStorage_StringKey CHECK (GrainIdN0 = 0 AND GrainIdN1 = 0)
) STRICT;

INSERT INTO OrleansStorageByKey
    (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
SELECT GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey
FROM OrleansStorage;

DROP TABLE OrleansStorage;

ALTER TABLE OrleansStorageByKey RENAME TO OrleansStorage;

CREATE INDEX IX_OrleansStorage_History ON OrleansStorage (ServiceId, HistoryKey) WHERE HistoryKey IS NOT NULL;

-- What operators read. A text that holds NUL is in PayloadBase64 (its UTF-8 bytes), any other in Payload.
-- That an operation is expired is not stored: the clock says so. Tombstones are no operations.
-- The JSON functions would take a blob for SQLite's own binary JSON, hence the cast.
CREATE VIEW RecognizeOperations AS
SELECT
    ServiceId,
    substr(GrainIdExtensionString, 4, instr(substr(GrainIdExtensionString, 4), '/') - 1) AS Customer,
    json_extract(Document, '$.operationId') AS OperationId,
    json_extract(Document, '$.id') AS Id,
    json_extract(Document, '$.userId') AS UserId,
    json_extract(Document, '$.externalUserId') AS ExternalUserId,
    json_extract(Document, '$.payload') AS Payload,
    json_extract(Document, '$.payloadBase64') AS PayloadBase64,
    json_extract(Document, '$.authType') AS RequiredAuthType,
    CASE
        WHEN json_extract(Document, '$.status') = 'pending' AND json_extract(Document, '$.expiresAt') <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') THEN 'expired'
        ELSE json_extract(Document, '$.status')
    END AS Status,
    json_extract(Document, '$.decidedWith') AS DecidedWith,
    json_extract(Document, '$.decidedAt') AS DecidedAt,
    json_extract(Document, '$.expiresAt') AS ExpiresAt,
    json_extract(Document, '$.reason') AS Reason,
    json_extract(Document, '$.createdAt') AS CreatedAt,
    json_extract(Document, '$.nodeId') AS NodeId,
    ModifiedOn
FROM
(
    SELECT ServiceId, GrainIdExtensionString, ModifiedOn, CAST(PayloadBinary AS TEXT) AS Document
    FROM OrleansStorage
    WHERE GrainTypeString = 'operation' AND PayloadBinary IS NOT NULL AND coalesce(HistoryKey, '') < '~'
);

UPDATE RecognizeSchema SET Version = 4, OldestCompatible = 4;
