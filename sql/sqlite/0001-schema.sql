-- Schema version 6 for SQLite 3.37 or later: grain storage and the operators' view. One silo, hence no clustering.
-- Run it in one transaction (README.md beside it says how), so that a failure leaves nothing behind. A database that has a schema
-- already stays as it is: the first table cannot be created again.

CREATE TABLE RecognizeSchema
(
    Id INTEGER NOT NULL CONSTRAINT PK_RecognizeSchema PRIMARY KEY CONSTRAINT CK_RecognizeSchema_OneRow CHECK (Id = 1),
    Version INTEGER NOT NULL,
    OldestCompatible INTEGER NOT NULL
) STRICT;

INSERT INTO RecognizeSchema (Id, Version, OldestCompatible) VALUES (1, 6, 6);

CREATE TABLE OrleansQuery
(
    QueryKey TEXT NOT NULL CONSTRAINT PK_OrleansQuery PRIMARY KEY,
    QueryText TEXT NOT NULL
) STRICT;

-- The unique constraint is the whole identity of a grain. Text is compared byte by byte here.
-- Every key of this service is a string, so the two numbers that Orleans has for other keys are always zero.
-- The identity of a grain begins with its key: the ids that clients count up, or begin with a time, come to the same few pages
-- of the index, however many rows there are.
-- OwnerKey, OpenKey and DueKey place a row among all rows of its owner, among its owner's open ones, and among what is due at a
-- time. Every write sets all three; NULL is no place. They are the member "keys" of the JSON, in this order, begin with the kind of the row,
-- and sort as text. An operation's are op/customer/userId/createdAt/id, the last two in one length; OpenKey is the same text while the
-- operation is pending. What is left of a removed operation is a tombstone, {"v":4,"keys":["op/~/removedAt/id",null,null],...}:
-- it is in nobody's history, but behind all of them.
CREATE TABLE OrleansStorage
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
    OwnerKey TEXT NULL,
    OpenKey TEXT NULL,
    DueKey TEXT NULL,
    CONSTRAINT UQ_OrleansStorage_Identity UNIQUE (GrainIdExtensionString, GrainTypeString, ServiceId, GrainIdHash, GrainTypeHash),
    CONSTRAINT CK_OrleansStorage_StringKey CHECK (GrainIdN0 = 0 AND GrainIdN1 = 0)
) STRICT;

CREATE INDEX IX_OrleansStorage_Owner ON OrleansStorage (ServiceId, OwnerKey) WHERE OwnerKey IS NOT NULL;

CREATE INDEX IX_OrleansStorage_Open ON OrleansStorage (ServiceId, OpenKey) WHERE OpenKey IS NOT NULL;

CREATE INDEX IX_OrleansStorage_Due ON OrleansStorage (ServiceId, DueKey) WHERE DueKey IS NOT NULL;

-- Every write is one statement and so its own transaction: there is none that a failure in the middle could leave open.
-- A refused write returns no row.

-- A write that knows a version needs the row to be there; a first write needs it to be absent.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('WriteToStorageKey', '
INSERT INTO OrleansStorage
    (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version,
    OwnerKey, OpenKey, DueKey)
SELECT @GrainIdHash, @GrainIdN0, @GrainIdN1, @GrainTypeHash, @GrainTypeString, @GrainIdExtensionString, @ServiceId, @PayloadBinary,
    strftime(''%Y-%m-%dT%H:%M:%fZ'', ''now''), 1,
    json_extract(Document, ''$.keys[0]''), json_extract(Document, ''$.keys[1]''), json_extract(Document, ''$.keys[2]'')
FROM (SELECT CAST(@PayloadBinary AS TEXT) AS Document)
WHERE @GrainStateVersion IS NULL
    OR EXISTS
    (
        SELECT 1 FROM OrleansStorage
        WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
            AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
            AND ServiceId = @ServiceId
    )
ON CONFLICT (GrainIdExtensionString, GrainTypeString, ServiceId, GrainIdHash, GrainTypeHash) DO UPDATE
    SET PayloadBinary = excluded.PayloadBinary, ModifiedOn = excluded.ModifiedOn, Version = Version + 1,
        OwnerKey = excluded.OwnerKey, OpenKey = excluded.OpenKey, DueKey = excluded.DueKey
    WHERE Version = @GrainStateVersion
RETURNING Version AS NewGrainStateVersion
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('ReadFromStorageKey', '
SELECT PayloadBinary, Version
FROM OrleansStorage
WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
    AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
    AND ServiceId = @ServiceId
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('ClearStorageKey', '
UPDATE OrleansStorage
SET PayloadBinary = NULL, ModifiedOn = strftime(''%Y-%m-%dT%H:%M:%fZ'', ''now''), Version = Version + 1, OwnerKey = NULL, OpenKey = NULL, DueKey = NULL
WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
    AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
    AND ServiceId = @ServiceId AND Version = @GrainStateVersion
RETURNING Version AS NewGrainStateVersion
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('DeleteStorageKey', '
DELETE FROM OrleansStorage
WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
    AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
    AND ServiceId = @ServiceId AND Version = @GrainStateVersion
RETURNING Version + 1 AS NewGrainStateVersion
');

-- Which cluster serves a service id, since when, and the newest time that one of its silos has used: no silo starts below it.
-- Times are texts like 2025-05-21T10:30:00.000Z.
CREATE TABLE RecognizeCluster
(
    ServiceId TEXT NOT NULL CONSTRAINT PK_RecognizeCluster PRIMARY KEY,
    ClusterId TEXT NOT NULL,
    ClaimedAt TEXT NOT NULL,
    NewestTime TEXT NOT NULL,
    SweepsFrom TEXT NULL
) STRICT;

-- What operators read. A text that holds NUL is in PayloadBase64 (its UTF-8 bytes), any other in Payload.
-- The status is the stored one: "expired" once somebody has asked after the deadline. Tombstones are no operations.
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
    json_extract(Document, '$.status') AS Status,
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
    WHERE GrainTypeString = 'operation' AND PayloadBinary IS NOT NULL AND OwnerKey > 'op/' AND OwnerKey < 'op/~'
);
