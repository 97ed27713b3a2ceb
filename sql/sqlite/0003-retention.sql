-- Schema version 3 for SQLite: operations can be removed for their age.
-- Run it in one transaction (README.md beside it says how), so that a failure leaves nothing behind.

-- What is left of a removed operation is a tombstone, {"v":3,"id":...,"removedAt":"..."}. Its HistoryKey is ~removedAt/id: in nobody's history,
-- behind all of them, in the order of removal. A program of schema 2 would take a tombstone for a fault, and its users' grains do not know how
-- creates reach them: none may run from now on.
-- A user's row that is deleted may be written anew. It begins with the seconds since 2020 for a version: an earlier row of that user, written less
-- than once a second, never came so far, and whoever still knows that row cannot write over this one.
DELETE FROM OrleansQuery WHERE QueryKey = 'WriteToStorageKey';

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('WriteToStorageKey', '
INSERT INTO OrleansStorage
    (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
SELECT @GrainIdHash, @GrainIdN0, @GrainIdN1, @GrainTypeHash, @GrainTypeString, @GrainIdExtensionString, @ServiceId, @PayloadBinary,
    strftime(''%Y-%m-%dT%H:%M:%fZ'', ''now''),
    CASE WHEN @GrainTypeString = ''user'' THEN strftime(''%s'', ''now'') - 1577836800 ELSE 1 END,
    CASE WHEN @GrainTypeString = ''operation'' THEN coalesce(
        ''~'' || json_extract(CAST(@PayloadBinary AS TEXT), ''$.removedAt'') || ''/'' || substr(''0000000000000000'' || json_extract(CAST(@PayloadBinary AS TEXT), ''$.id''), -16),
        substr(@GrainIdExtensionString, 4, instr(substr(@GrainIdExtensionString, 4), ''/'')) || json_extract(CAST(@PayloadBinary AS TEXT), ''$.userId'')
            || ''/'' || json_extract(CAST(@PayloadBinary AS TEXT), ''$.createdAt'')
            || ''/'' || substr(''0000000000000000'' || json_extract(CAST(@PayloadBinary AS TEXT), ''$.id''), -16))
    END
WHERE @GrainStateVersion IS NULL
    OR EXISTS
    (
        SELECT 1 FROM OrleansStorage
        WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
            AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
            AND ServiceId = @ServiceId
    )
ON CONFLICT (GrainIdHash, GrainTypeHash, GrainIdExtensionString, GrainTypeString, ServiceId) DO UPDATE
    SET PayloadBinary = excluded.PayloadBinary, ModifiedOn = excluded.ModifiedOn, Version = Version + 1,
        HistoryKey = CASE WHEN excluded.HistoryKey > ''~'' THEN excluded.HistoryKey ELSE HistoryKey END
    WHERE Version = @GrainStateVersion
RETURNING Version AS NewGrainStateVersion
');
DROP VIEW RecognizeOperations;

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

UPDATE RecognizeSchema SET Version = 3, OldestCompatible = 3;
