-- Schema version 3 for PostgreSQL: operations can be removed for their age.
-- Run it in one transaction (README.md beside it says how), so that a failure leaves nothing behind.

-- What is left of a removed operation is a tombstone, {"v":3,"id":...,"removedAt":"..."}. Its HistoryKey is ~removedAt/id: in nobody's history,
-- behind all of them, in the order of removal. A program of schema 2 would take a tombstone for a fault, and its users' grains do not know how
-- creates reach them: none may run from now on.
-- A user's row that is deleted may be written anew. It begins with the seconds since 2020 for a version: an earlier row of that user, written less
-- than once a second, never came so far, and whoever still knows that row cannot write over this one.
DELETE FROM OrleansQuery WHERE QueryKey = 'WriteToStorageKey';

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('WriteToStorageKey', '
WITH changed AS
(
    UPDATE OrleansStorage
    SET PayloadBinary = @PayloadBinary, ModifiedOn = now(), Version = Version + 1,
        HistoryKey = CASE WHEN @GrainTypeString = ''operation'' THEN
            (SELECT COALESCE(''~'' || (o ->> ''removedAt'') || ''/'' || lpad(o ->> ''id'', 16, ''0''), HistoryKey)
            FROM (SELECT convert_from(@PayloadBinary, ''UTF8'')::json AS o) AS operation)
        END
    WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
        AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
        AND ServiceId = @ServiceId AND Version = @GrainStateVersion
    RETURNING Version
),
added AS
(
    INSERT INTO OrleansStorage
        (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
    SELECT @GrainIdHash, @GrainIdN0, @GrainIdN1, @GrainTypeHash, @GrainTypeString, @GrainIdExtensionString, @ServiceId, @PayloadBinary, now(),
        CASE WHEN @GrainTypeString = ''user'' THEN CAST(extract(epoch FROM now()) - 1577836800 AS integer) ELSE 1 END,
        CASE WHEN @GrainTypeString = ''operation'' THEN
            (SELECT split_part(@GrainIdExtensionString, ''/'', 2) || ''/'' || (o ->> ''userId'') || ''/'' || (o ->> ''createdAt'') || ''/'' || lpad(o ->> ''id'', 16, ''0'')
            FROM (SELECT convert_from(@PayloadBinary, ''UTF8'')::json AS o) AS operation)
        END
    WHERE @GrainStateVersion IS NULL
    ON CONFLICT DO NOTHING
    RETURNING Version
)
SELECT COALESCE((SELECT Version FROM changed), (SELECT Version FROM added)) AS NewGrainStateVersion
');
DROP VIEW RecognizeOperations;

-- What operators read. A text that holds NUL is in PayloadBase64 (its UTF-8 bytes), any other in Payload.
-- That an operation is expired is not stored: the clock says so. Tombstones are no operations.
CREATE VIEW RecognizeOperations AS
SELECT
    stored.ServiceId,
    split_part(stored.GrainIdExtensionString, '/', 2) AS Customer,
    operation."operationId" AS OperationId,
    operation."id" AS Id,
    operation."userId" AS UserId,
    operation."externalUserId" AS ExternalUserId,
    operation."payload" AS Payload,
    operation."payloadBase64" AS PayloadBase64,
    operation."authType" AS RequiredAuthType,
    CASE WHEN operation."status" = 'pending' AND operation."expiresAt" <= now() THEN 'expired' ELSE operation."status" END AS Status,
    operation."decidedWith" AS DecidedWith,
    operation."decidedAt" AS DecidedAt,
    operation."expiresAt" AS ExpiresAt,
    operation."reason" AS Reason,
    operation."createdAt" AS CreatedAt,
    operation."nodeId" AS NodeId,
    stored.ModifiedOn
FROM OrleansStorage AS stored
CROSS JOIN LATERAL jsonb_to_record(convert_from(stored.PayloadBinary, 'UTF8')::jsonb) AS operation
(
    "operationId" text,
    "id" bigint,
    "userId" text,
    "externalUserId" text,
    "payload" text,
    "payloadBase64" text,
    "authType" text,
    "status" text,
    "decidedWith" text,
    "decidedAt" timestamptz,
    "expiresAt" timestamptz,
    "reason" text,
    "createdAt" timestamptz,
    "nodeId" text
)
WHERE stored.GrainTypeString = 'operation' AND stored.PayloadBinary IS NOT NULL AND COALESCE(stored.HistoryKey, '') < '~';

UPDATE RecognizeSchema SET Version = 3, OldestCompatible = 3;
