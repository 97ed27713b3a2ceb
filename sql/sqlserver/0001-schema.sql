-- Schema version 6 for SQL Server 2016 SP1 or later, and Azure SQL: grain storage, clustering, and the operators' view.
-- One transaction over all batches: a failure leaves nothing behind. All but the view is in the first batch, which ends at its first
-- error: a client that goes on with the next one all the same (sqlcmd without -b) cannot create the view then.

-- Whoever makes a filtered index, or changes a row of its table, needs the first; sqlcmd has it off.
SET QUOTED_IDENTIFIER ON;
SET XACT_ABORT ON;

IF OBJECT_ID(N'RecognizeSchema', N'U') IS NOT NULL
    THROW 50000, N'The database has a schema of this service already, and nothing was changed: RecognizeSchema tells its version.', 1;

BEGIN TRANSACTION;

CREATE TABLE RecognizeSchema
(
    Id INT NOT NULL CONSTRAINT PK_RecognizeSchema PRIMARY KEY CONSTRAINT CK_RecognizeSchema_OneRow CHECK (Id = 1),
    Version INT NOT NULL,
    OldestCompatible INT NOT NULL
);

INSERT INTO RecognizeSchema (Id, Version, OldestCompatible) VALUES (1, 6, 6);

CREATE TABLE OrleansQuery
(
    QueryKey VARCHAR(64) NOT NULL CONSTRAINT PK_OrleansQuery PRIMARY KEY,
    QueryText NVARCHAR(MAX) NOT NULL
);

-- Every key of this service is a string, so the two numbers that Orleans has for other keys are always zero.
-- The identity of a grain begins with its key: the ids that clients count up, or begin with a time, come to the same few pages
-- of the index, however many rows there are.
-- OwnerKey, OpenKey and DueKey place a row among all rows of its owner, among its owner's open ones, and among what is due at a
-- time. Every write sets all three; NULL is no place. They are the member "keys" of the JSON, in this order, begin with the kind of the row,
-- and sort as text. An operation's are op/customer/userId/createdAt/id, the last two in one length; OpenKey is the same text while the
-- operation is pending. What is left of a removed operation is a tombstone, {"v":4,"keys":["op/~/removedAt/id",null,null],...}:
-- it is in nobody's history, but behind all of them.
-- RowId is what the table is clustered by, and no query names it: it is narrow, because every index holds it, and it grows, so that
-- an insert appends to the last page and an update that makes a row longer leaves no forwarding address behind, as it does in a heap.
CREATE TABLE OrleansStorage
(
    RowId BIGINT IDENTITY(1, 1) NOT NULL CONSTRAINT PK_OrleansStorage PRIMARY KEY,
    GrainIdHash INT NOT NULL,
    GrainIdN0 BIGINT NOT NULL,
    GrainIdN1 BIGINT NOT NULL,
    GrainTypeHash INT NOT NULL,
    GrainTypeString NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL,
    GrainIdExtensionString NVARCHAR(512) COLLATE Latin1_General_100_BIN2 NOT NULL,
    ServiceId NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL,
    PayloadBinary VARBINARY(MAX) NULL,
    ModifiedOn DATETIME2(3) NOT NULL,
    Version INT NOT NULL,
    OwnerKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL,
    OpenKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL,
    DueKey VARCHAR(220) COLLATE Latin1_General_100_BIN2 NULL,
    CONSTRAINT CK_OrleansStorage_StringKey CHECK (GrainIdN0 = 0 AND GrainIdN1 = 0)
);

-- The whole identity of a grain: this index, and no lock, decides which of two silos writes the first row.
-- The widest key is 1,632 bytes of the 1,700 that an index takes. The collation tells apart everything but trailing
-- blanks, which no collation does: keys that may end with a blank end with a slash instead.
CREATE UNIQUE INDEX UX_OrleansStorage_Identity
    ON OrleansStorage (GrainIdExtensionString, GrainTypeString, ServiceId, GrainIdHash, GrainTypeHash) INCLUDE (Version);

CREATE INDEX IX_OrleansStorage_Owner ON OrleansStorage (ServiceId, OwnerKey);

CREATE INDEX IX_OrleansStorage_Open ON OrleansStorage (ServiceId, OpenKey);

CREATE INDEX IX_OrleansStorage_Due ON OrleansStorage (ServiceId, DueKey) WHERE DueKey IS NOT NULL;

-- Every query waits for a lock no longer than two seconds, so that a row that somebody holds locked does not stop a silo.
-- The storage queries answer with exactly one row; a NULL in it says that the write was refused.

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('WriteToStorageKey', N'
SET NOCOUNT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @NewGrainStateVersion INT;
DECLARE @Document VARCHAR(MAX);
SET @Document = CONVERT(VARCHAR(MAX), @PayloadBinary);
IF @GrainStateVersion IS NULL
BEGIN
    BEGIN TRY
        INSERT INTO OrleansStorage
            (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version,
            OwnerKey, OpenKey, DueKey)
        VALUES
            (@GrainIdHash, @GrainIdN0, @GrainIdN1, @GrainTypeHash, @GrainTypeString, @GrainIdExtensionString, @ServiceId, @PayloadBinary, SYSUTCDATETIME(), 1,
            JSON_VALUE(@Document, ''$.keys[0]''), JSON_VALUE(@Document, ''$.keys[1]''), JSON_VALUE(@Document, ''$.keys[2]''));
        SET @NewGrainStateVersion = 1;
    END TRY
    BEGIN CATCH
        IF ERROR_NUMBER() NOT IN (2601, 2627) THROW;
    END CATCH;
END
ELSE
BEGIN
    UPDATE OrleansStorage
    SET PayloadBinary = @PayloadBinary, ModifiedOn = SYSUTCDATETIME(), Version = Version + 1,
        OwnerKey = JSON_VALUE(@Document, ''$.keys[0]''), OpenKey = JSON_VALUE(@Document, ''$.keys[1]''), DueKey = JSON_VALUE(@Document, ''$.keys[2]'')
    WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
        AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
        AND ServiceId = @ServiceId AND Version = @GrainStateVersion;
    IF @@ROWCOUNT = 1 SET @NewGrainStateVersion = @GrainStateVersion + 1;
END;
SELECT @NewGrainStateVersion AS NewGrainStateVersion;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('ReadFromStorageKey', N'
SET LOCK_TIMEOUT 2000;
SELECT PayloadBinary, Version
FROM OrleansStorage WITH (FORCESEEK)
WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
    AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
    AND ServiceId = @ServiceId;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('ClearStorageKey', N'
SET NOCOUNT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @NewGrainStateVersion INT;
UPDATE OrleansStorage
SET PayloadBinary = NULL, ModifiedOn = SYSUTCDATETIME(), Version = Version + 1, OwnerKey = NULL, OpenKey = NULL, DueKey = NULL
WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
    AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
    AND ServiceId = @ServiceId AND Version = @GrainStateVersion;
IF @@ROWCOUNT = 1 SET @NewGrainStateVersion = @GrainStateVersion + 1;
SELECT @NewGrainStateVersion AS NewGrainStateVersion;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('DeleteStorageKey', N'
SET NOCOUNT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @NewGrainStateVersion INT;
DELETE FROM OrleansStorage
WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
    AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
    AND ServiceId = @ServiceId AND Version = @GrainStateVersion;
IF @@ROWCOUNT = 1 SET @NewGrainStateVersion = @GrainStateVersion + 1;
SELECT @NewGrainStateVersion AS NewGrainStateVersion;
');

-- Clustering: one version row per cluster, one row per silo.

CREATE TABLE OrleansMembershipVersionTable
(
    DeploymentId NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL CONSTRAINT PK_OrleansMembershipVersionTable PRIMARY KEY,
    Timestamp DATETIME2(3) NOT NULL,
    Version INT NOT NULL
);

CREATE TABLE OrleansMembershipTable
(
    DeploymentId NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL,
    Address VARCHAR(45) NOT NULL,
    Port INT NOT NULL,
    Generation INT NOT NULL,
    SiloName NVARCHAR(150) NOT NULL,
    HostName NVARCHAR(255) NOT NULL,
    Status INT NOT NULL,
    ProxyPort INT NULL,
    SuspectTimes NVARCHAR(MAX) NULL,
    StartTime DATETIME2(3) NOT NULL,
    IAmAliveTime DATETIME2(3) NOT NULL,
    CONSTRAINT PK_OrleansMembershipTable PRIMARY KEY (DeploymentId, Address, Port, Generation),
    CONSTRAINT FK_OrleansMembershipTable_Version FOREIGN KEY (DeploymentId) REFERENCES OrleansMembershipVersionTable (DeploymentId)
);

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('InsertMembershipVersionKey', N'
SET NOCOUNT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @Added INT;
SET @Added = 0;
BEGIN TRY
    INSERT INTO OrleansMembershipVersionTable (DeploymentId, Timestamp, Version) VALUES (@DeploymentId, SYSUTCDATETIME(), 0);
    SET @Added = 1;
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() NOT IN (2601, 2627) THROW;
END CATCH;
SELECT @Added AS Added;
');

-- Both rows or none. The version row is changed first and so is the one place where two writers meet:
-- the second of them sees a version that is no longer the one it read, and changes nothing.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('InsertMembershipKey', N'
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @Changed INT;
BEGIN TRANSACTION;
UPDATE OrleansMembershipVersionTable
SET Timestamp = SYSUTCDATETIME(), Version = Version + 1
WHERE DeploymentId = @DeploymentId AND Version = @Version;
SET @Changed = @@ROWCOUNT;
IF @Changed = 1
BEGIN
    INSERT INTO OrleansMembershipTable
        (DeploymentId, Address, Port, Generation, SiloName, HostName, Status, ProxyPort, StartTime, IAmAliveTime)
    SELECT @DeploymentId, @Address, @Port, @Generation, @SiloName, @HostName, @Status, @ProxyPort, @StartTime, @IAmAliveTime
    WHERE NOT EXISTS
    (
        SELECT 1 FROM OrleansMembershipTable
        WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation
    );
    SET @Changed = @@ROWCOUNT;
END;
IF @Changed = 1
    COMMIT TRANSACTION;
ELSE
    ROLLBACK TRANSACTION;
SELECT @Changed AS Changed;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('UpdateMembershipKey', N'
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
DECLARE @Changed INT;
BEGIN TRANSACTION;
UPDATE OrleansMembershipVersionTable
SET Timestamp = SYSUTCDATETIME(), Version = Version + 1
WHERE DeploymentId = @DeploymentId AND Version = @Version;
SET @Changed = @@ROWCOUNT;
IF @Changed = 1
BEGIN
    UPDATE OrleansMembershipTable
    SET Status = @Status, SuspectTimes = @SuspectTimes, IAmAliveTime = @IAmAliveTime
    WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation;
    SET @Changed = @@ROWCOUNT;
END;
IF @Changed = 1
    COMMIT TRANSACTION;
ELSE
    ROLLBACK TRANSACTION;
SELECT @Changed AS Changed;
');

-- By this clock and not by the machine's, which @IAmAliveTime is of: others judge the sign of life by the database's clock.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('UpdateIAmAlivetimeKey', N'
SET NOCOUNT ON;
SET LOCK_TIMEOUT 2000;
UPDATE OrleansMembershipTable
SET IAmAliveTime = SYSUTCDATETIME()
WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('MembershipReadRowKey', N'
SET LOCK_TIMEOUT 2000;
SELECT cluster.DeploymentId, silo.Address, silo.Port, silo.Generation, silo.SiloName, silo.HostName, silo.Status,
    silo.ProxyPort, silo.SuspectTimes, silo.StartTime, silo.IAmAliveTime, cluster.Version
FROM OrleansMembershipVersionTable AS cluster
LEFT JOIN OrleansMembershipTable AS silo
    ON silo.DeploymentId = cluster.DeploymentId AND silo.Address = @Address AND silo.Port = @Port AND silo.Generation = @Generation
WHERE cluster.DeploymentId = @DeploymentId;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('MembershipReadAllKey', N'
SET LOCK_TIMEOUT 2000;
SELECT cluster.DeploymentId, silo.Address, silo.Port, silo.Generation, silo.SiloName, silo.HostName, silo.Status,
    silo.ProxyPort, silo.SuspectTimes, silo.StartTime, silo.IAmAliveTime, cluster.Version
FROM OrleansMembershipVersionTable AS cluster
LEFT JOIN OrleansMembershipTable AS silo ON silo.DeploymentId = cluster.DeploymentId
WHERE cluster.DeploymentId = @DeploymentId;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('GatewaysQueryKey', N'
SET LOCK_TIMEOUT 2000;
SELECT Address, ProxyPort, Generation
FROM OrleansMembershipTable
WHERE DeploymentId = @DeploymentId AND Status = @Status AND ProxyPort > 0;
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('DeleteMembershipTableEntriesKey', N'
SET NOCOUNT ON;
SET XACT_ABORT ON;
SET LOCK_TIMEOUT 2000;
BEGIN TRANSACTION;
DELETE FROM OrleansMembershipTable WHERE DeploymentId = @DeploymentId;
DELETE FROM OrleansMembershipVersionTable WHERE DeploymentId = @DeploymentId;
COMMIT TRANSACTION;
');

-- Status 3 is an active silo: however old its sign of life, only the other silos may declare it dead. The provider falls
-- back to this query when the next one is missing.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('CleanupDefunctSiloEntriesKey', N'
SET NOCOUNT ON;
SET LOCK_TIMEOUT 2000;
DELETE FROM OrleansMembershipTable
WHERE DeploymentId = @DeploymentId AND IAmAliveTime < @IAmAliveTime AND Status <> 3;
');

-- Status 6 is a dead silo. The provider names the row as it read it: a row that has changed since stays.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('CleanupDefunctSiloEntryKey', N'
SET NOCOUNT ON;
SET LOCK_TIMEOUT 2000;
DELETE FROM OrleansMembershipTable
WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation
    AND Status = 6 AND StartTime = @StartTime AND IAmAliveTime = @IAmAliveTime
    AND COALESCE(SuspectTimes, N'''') = COALESCE(@SuspectTimes, N'''');
');

-- Which cluster serves a service id, since when, and the newest time that one of its silos has used: no silo starts below it.
CREATE TABLE RecognizeCluster
(
    ServiceId NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL CONSTRAINT PK_RecognizeCluster PRIMARY KEY,
    ClusterId NVARCHAR(150) COLLATE Latin1_General_100_BIN2 NOT NULL,
    ClaimedAt DATETIME2(3) NOT NULL,
    NewestTime DATETIME2(3) NOT NULL,
    SweepsFrom DATETIME2(3) NULL
);
GO

-- What operators read. A text that holds NUL is in PayloadBase64 (its UTF-8 bytes), any other in Payload.
-- The status is the stored one: "expired" once somebody has asked after the deadline. Tombstones are no operations.
-- The stored JSON is pure ASCII, so that VARCHAR reads it whatever the code page. Times are UTC.
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
    operation.Status,
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
WHERE stored.GrainTypeString = N'operation' AND stored.PayloadBinary IS NOT NULL AND stored.OwnerKey > 'op/' AND stored.OwnerKey < 'op/~';
GO

COMMIT TRANSACTION;
GO
