-- Schema version 3 for SQL Server: operations can be removed for their age.
-- One transaction over all batches: a failure, or a client that stops at it (sqlcmd -b), leaves nothing behind.

SET XACT_ABORT ON;
BEGIN TRANSACTION;
GO

-- What is left of a removed operation is a tombstone, {"v":3,"id":...,"removedAt":"..."}. Its HistoryKey is ~removedAt/id: in nobody's history,
-- behind all of them, in the order of removal. A program of schema 2 would take a tombstone for a fault, and its users' grains do not know how
-- creates reach them: none may run from now on.
-- A user's row that is deleted may be written anew. It begins with the seconds since 2020 for a version: an earlier row of that user, written less
-- than once a second, never came so far, and whoever still knows that row cannot write over this one.
DELETE FROM OrleansQuery WHERE QueryKey = 'WriteToStorageKey';

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('WriteToStorageKey', N'
SET NOCOUNT ON;
DECLARE @NewGrainStateVersion INT;
DECLARE @HistoryKey VARCHAR(220);
IF @GrainStateVersion IS NULL
BEGIN
    SET @NewGrainStateVersion = CASE WHEN @GrainTypeString = N''user'' THEN DATEDIFF(SECOND, ''2020-01-01'', SYSUTCDATETIME()) ELSE 1 END;
    IF @GrainTypeString = N''operation''
        SET @HistoryKey = SUBSTRING(@GrainIdExtensionString, 4, CHARINDEX(''/'', @GrainIdExtensionString, 4) - 3) + JSON_VALUE(CONVERT(VARCHAR(MAX), @PayloadBinary), ''$.userId'') + ''/'' + JSON_VALUE(CONVERT(VARCHAR(MAX), @PayloadBinary), ''$.createdAt'')
            + ''/'' + RIGHT(''0000000000000000'' + JSON_VALUE(CONVERT(VARCHAR(MAX), @PayloadBinary), ''$.id''), 16);
    BEGIN TRY
        INSERT INTO OrleansStorage
            (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
        VALUES
            (@GrainIdHash, @GrainIdN0, @GrainIdN1, @GrainTypeHash, @GrainTypeString, @GrainIdExtensionString, @ServiceId, @PayloadBinary, SYSUTCDATETIME(), @NewGrainStateVersion, @HistoryKey);
    END TRY
    BEGIN CATCH
        IF ERROR_NUMBER() NOT IN (2601, 2627) THROW;
        SET @NewGrainStateVersion = NULL;
    END CATCH;
END
ELSE
BEGIN
    IF @GrainTypeString = N''operation''
        SET @HistoryKey = ''~'' + JSON_VALUE(CONVERT(VARCHAR(MAX), @PayloadBinary), ''$.removedAt'')
            + ''/'' + RIGHT(''0000000000000000'' + JSON_VALUE(CONVERT(VARCHAR(MAX), @PayloadBinary), ''$.id''), 16);
    UPDATE OrleansStorage
    SET PayloadBinary = @PayloadBinary, ModifiedOn = SYSUTCDATETIME(), Version = Version + 1, HistoryKey = COALESCE(@HistoryKey, HistoryKey)
    WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
        AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
        AND ServiceId = @ServiceId AND Version = @GrainStateVersion;
    IF @@ROWCOUNT = 1 SET @NewGrainStateVersion = @GrainStateVersion + 1;
END;
SELECT @NewGrainStateVersion AS NewGrainStateVersion;
');
GO

DROP VIEW RecognizeOperations;
GO

-- What operators read. That an operation is expired is not stored: the clock says so. Tombstones are no operations.
CREATE VIEW RecognizeOperations AS
SELECT
    stored.ServiceId,
    SUBSTRING(stored.GrainIdExtensionString, 4, NULLIF(CHARINDEX(N'/', stored.GrainIdExtensionString, 4), 0) - 4) AS Customer,
    operation.OperationId,
    operation.Id,
    operation.UserId,
    operation.ExternalUserId,
    operation.Payload,
    operation.PayloadBase64,
    operation.RequiredAuthType,
    CASE
        WHEN operation.Status = N'pending' AND CAST(operation.ExpiresAt AS DATETIMEOFFSET(3)) <= SYSDATETIMEOFFSET() THEN N'expired'
        ELSE operation.Status
    END AS Status,
    operation.DecidedWith,
    CAST(CAST(operation.DecidedAt AS DATETIMEOFFSET(3)) AS DATETIME2(3)) AS DecidedAt,
    CAST(CAST(operation.ExpiresAt AS DATETIMEOFFSET(3)) AS DATETIME2(3)) AS ExpiresAt,
    operation.Reason,
    CAST(CAST(operation.CreatedAt AS DATETIMEOFFSET(3)) AS DATETIME2(3)) AS CreatedAt,
    operation.NodeId,
    stored.ModifiedOn
FROM OrleansStorage AS stored
CROSS APPLY OPENJSON(CASE WHEN stored.GrainTypeString = N'operation' THEN CAST(CAST(stored.PayloadBinary AS VARCHAR(MAX)) AS NVARCHAR(MAX)) END) WITH
(
    OperationId NVARCHAR(256) '$.operationId',
    Id BIGINT '$.id',
    UserId NVARCHAR(128) '$.userId',
    ExternalUserId NVARCHAR(256) '$.externalUserId',
    Payload NVARCHAR(MAX) '$.payload',
    PayloadBase64 NVARCHAR(MAX) '$.payloadBase64',
    RequiredAuthType NVARCHAR(16) '$.authType',
    Status NVARCHAR(16) '$.status',
    DecidedWith NVARCHAR(16) '$.decidedWith',
    DecidedAt NVARCHAR(40) '$.decidedAt',
    ExpiresAt NVARCHAR(40) '$.expiresAt',
    Reason NVARCHAR(256) '$.reason',
    CreatedAt NVARCHAR(40) '$.createdAt',
    NodeId NVARCHAR(256) '$.nodeId'
) AS operation
WHERE stored.GrainTypeString = N'operation' AND stored.PayloadBinary IS NOT NULL AND COALESCE(stored.HistoryKey, '') < '~';
GO

UPDATE RecognizeSchema SET Version = 3, OldestCompatible = 3;
COMMIT TRANSACTION;
GO
