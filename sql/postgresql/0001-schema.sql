-- Schema version 6 for PostgreSQL 13 or later: grain storage, clustering, and the operators' view.
-- Run it in one transaction (README.md beside it says how), so that a failure leaves nothing behind.

-- A database that has a schema already stays as it is: the first table cannot be created again, and a client that goes on after
-- that error, without a transaction, may only read.
SELECT set_config('default_transaction_read_only', 'on', false) WHERE to_regclass('recognizeschema') IS NOT NULL;

CREATE TABLE RecognizeSchema
(
    Id integer NOT NULL CONSTRAINT PK_RecognizeSchema PRIMARY KEY CONSTRAINT CK_RecognizeSchema_OneRow CHECK (Id = 1),
    Version integer NOT NULL,
    OldestCompatible integer NOT NULL
);

INSERT INTO RecognizeSchema (Id, Version, OldestCompatible) VALUES (1, 6, 6);

CREATE TABLE OrleansQuery
(
    QueryKey varchar(64) NOT NULL CONSTRAINT PK_OrleansQuery PRIMARY KEY,
    QueryText text NOT NULL
);

-- The primary key is the whole identity of a grain: it, and no lock, decides which of two silos writes the first row.
-- Every key of this service is a string, so the two numbers that Orleans has for other keys are always zero.
-- The identity of a grain begins with its key: the ids that clients count up, or begin with a time, come to the same few pages
-- of the index, however many rows there are.
-- OwnerKey, OpenKey and DueKey place a row among all rows of its owner, among its owner's open ones, and among what is due at a
-- time. Every write sets all three; NULL is no place. They are the member "keys" of the JSON, in this order, begin with the kind of the row,
-- and sort as text. An operation's are op/customer/userId/createdAt/id, the last two in one length; OpenKey is the same text while the
-- operation is pending. What is left of a removed operation is a tombstone, {"v":4,"keys":["op/~/removedAt/id",null,null],...}:
-- it is in nobody's history, but behind all of them.
-- Room is left in every page, so that a row that changes stays in its page.
CREATE TABLE OrleansStorage
(
    GrainIdHash integer NOT NULL,
    GrainIdN0 bigint NOT NULL,
    GrainIdN1 bigint NOT NULL,
    GrainTypeHash integer NOT NULL,
    GrainTypeString varchar(150) COLLATE "C" NOT NULL,
    GrainIdExtensionString varchar(512) COLLATE "C" NOT NULL,
    ServiceId varchar(150) COLLATE "C" NOT NULL,
    PayloadBinary bytea NULL,
    ModifiedOn timestamptz NOT NULL,
    Version integer NOT NULL,
    OwnerKey varchar(220) COLLATE "C" NULL,
    OpenKey varchar(220) COLLATE "C" NULL,
    DueKey varchar(220) COLLATE "C" NULL,
    CONSTRAINT PK_OrleansStorage PRIMARY KEY (GrainIdExtensionString, GrainTypeString, ServiceId, GrainIdHash, GrainTypeHash),
    CONSTRAINT CK_OrleansStorage_StringKey CHECK (GrainIdN0 = 0 AND GrainIdN1 = 0)
)
WITH (fillfactor = 75);

CREATE INDEX IX_OrleansStorage_Owner ON OrleansStorage (ServiceId, OwnerKey) WHERE OwnerKey IS NOT NULL;

CREATE INDEX IX_OrleansStorage_Open ON OrleansStorage (ServiceId, OpenKey) WHERE OpenKey IS NOT NULL;

CREATE INDEX IX_OrleansStorage_Due ON OrleansStorage (ServiceId, DueKey) WHERE DueKey IS NOT NULL;

-- The four storage queries answer with exactly one row; a NULL in it says that the write was refused.

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('WriteToStorageKey', '
WITH given AS
(
    SELECT keys ->> 0 AS owner, keys ->> 1 AS open, keys ->> 2 AS due
    FROM (SELECT convert_from(@PayloadBinary, ''UTF8'')::json -> ''keys'' AS keys) AS document
),
changed AS
(
    UPDATE OrleansStorage
    SET PayloadBinary = @PayloadBinary, ModifiedOn = now(), Version = Version + 1,
        OwnerKey = given.owner, OpenKey = given.open, DueKey = given.due
    FROM given
    WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
        AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
        AND ServiceId = @ServiceId AND Version = @GrainStateVersion
    RETURNING Version
),
added AS
(
    INSERT INTO OrleansStorage
        (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version,
        OwnerKey, OpenKey, DueKey)
    SELECT @GrainIdHash, @GrainIdN0, @GrainIdN1, @GrainTypeHash, @GrainTypeString, @GrainIdExtensionString, @ServiceId, @PayloadBinary, now(), 1,
        owner, open, due
    FROM given
    WHERE @GrainStateVersion IS NULL
    ON CONFLICT DO NOTHING
    RETURNING Version
)
SELECT COALESCE((SELECT Version FROM changed), (SELECT Version FROM added)) AS NewGrainStateVersion
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('ReadFromStorageKey', '
SELECT PayloadBinary, Version
FROM OrleansStorage
WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
    AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
    AND ServiceId = @ServiceId
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('ClearStorageKey', '
WITH cleared AS
(
    UPDATE OrleansStorage
    SET PayloadBinary = NULL, ModifiedOn = now(), Version = Version + 1, OwnerKey = NULL, OpenKey = NULL, DueKey = NULL
    WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
        AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
        AND ServiceId = @ServiceId AND Version = @GrainStateVersion
    RETURNING Version
)
SELECT (SELECT Version FROM cleared) AS NewGrainStateVersion
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('DeleteStorageKey', '
WITH deleted AS
(
    DELETE FROM OrleansStorage
    WHERE GrainIdHash = @GrainIdHash AND GrainTypeHash = @GrainTypeHash
        AND GrainIdExtensionString = @GrainIdExtensionString AND GrainTypeString = @GrainTypeString
        AND ServiceId = @ServiceId AND Version = @GrainStateVersion
    RETURNING Version + 1 AS Version
)
SELECT (SELECT Version FROM deleted) AS NewGrainStateVersion
');

-- Clustering: one version row per cluster, one row per silo.

CREATE TABLE OrleansMembershipVersionTable
(
    DeploymentId varchar(150) NOT NULL CONSTRAINT PK_OrleansMembershipVersionTable PRIMARY KEY,
    Timestamp timestamptz NOT NULL,
    Version integer NOT NULL
);

CREATE TABLE OrleansMembershipTable
(
    DeploymentId varchar(150) NOT NULL,
    Address varchar(45) NOT NULL,
    Port integer NOT NULL,
    Generation integer NOT NULL,
    SiloName varchar(150) NOT NULL,
    HostName varchar(255) NOT NULL,
    Status integer NOT NULL,
    ProxyPort integer NULL,
    SuspectTimes text NULL,
    StartTime timestamptz NOT NULL,
    IAmAliveTime timestamptz NOT NULL,
    CONSTRAINT PK_OrleansMembershipTable PRIMARY KEY (DeploymentId, Address, Port, Generation),
    CONSTRAINT FK_OrleansMembershipTable_Version FOREIGN KEY (DeploymentId) REFERENCES OrleansMembershipVersionTable (DeploymentId)
)
WITH (fillfactor = 50);

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('InsertMembershipVersionKey', '
WITH added AS
(
    INSERT INTO OrleansMembershipVersionTable (DeploymentId, Timestamp, Version)
    VALUES (@DeploymentId, now(), 0)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT CAST(count(*) AS integer) FROM added
');

-- The silo's row is added only with the version that the caller saw; whoever waited behind another writer of the
-- version row sees a newer version and adds nothing.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('InsertMembershipKey', '
WITH advanced AS
(
    UPDATE OrleansMembershipVersionTable
    SET Timestamp = now(), Version = Version + 1
    WHERE DeploymentId = @DeploymentId AND Version = @Version
        AND NOT EXISTS
        (
            SELECT 1 FROM OrleansMembershipTable AS silo
            WHERE silo.DeploymentId = @DeploymentId AND silo.Address = @Address AND silo.Port = @Port AND silo.Generation = @Generation
        )
    RETURNING DeploymentId
),
added AS
(
    INSERT INTO OrleansMembershipTable
        (DeploymentId, Address, Port, Generation, SiloName, HostName, Status, ProxyPort, StartTime, IAmAliveTime)
    SELECT DeploymentId, @Address, @Port, @Generation, @SiloName, @HostName, @Status, @ProxyPort, @StartTime, @IAmAliveTime
    FROM advanced
    RETURNING 1
)
SELECT CAST(count(*) AS integer) FROM added
');

-- The silo's row is locked before the version row: both change, or neither does.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('UpdateMembershipKey', '
WITH silo AS
(
    SELECT DeploymentId
    FROM OrleansMembershipTable
    WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation
    FOR NO KEY UPDATE
),
advanced AS
(
    UPDATE OrleansMembershipVersionTable
    SET Timestamp = now(), Version = Version + 1
    WHERE DeploymentId = @DeploymentId AND Version = @Version AND EXISTS (SELECT 1 FROM silo)
    RETURNING DeploymentId
),
changed AS
(
    UPDATE OrleansMembershipTable AS member
    SET Status = @Status, SuspectTimes = @SuspectTimes, IAmAliveTime = @IAmAliveTime
    FROM advanced
    WHERE member.DeploymentId = advanced.DeploymentId AND member.Address = @Address AND member.Port = @Port AND member.Generation = @Generation
    RETURNING 1
)
SELECT CAST(count(*) AS integer) FROM changed
');

-- By this clock and not by the machine's, which @IAmAliveTime is of: others judge the sign of life by the database's clock.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('UpdateIAmAlivetimeKey', '
UPDATE OrleansMembershipTable
SET IAmAliveTime = clock_timestamp()
WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('MembershipReadRowKey', '
SELECT cluster.DeploymentId, silo.Address, silo.Port, silo.Generation, silo.SiloName, silo.HostName, silo.Status,
    silo.ProxyPort, silo.SuspectTimes, silo.StartTime, silo.IAmAliveTime, cluster.Version
FROM OrleansMembershipVersionTable AS cluster
LEFT JOIN OrleansMembershipTable AS silo
    ON silo.DeploymentId = cluster.DeploymentId AND silo.Address = @Address AND silo.Port = @Port AND silo.Generation = @Generation
WHERE cluster.DeploymentId = @DeploymentId
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('MembershipReadAllKey', '
SELECT cluster.DeploymentId, silo.Address, silo.Port, silo.Generation, silo.SiloName, silo.HostName, silo.Status,
    silo.ProxyPort, silo.SuspectTimes, silo.StartTime, silo.IAmAliveTime, cluster.Version
FROM OrleansMembershipVersionTable AS cluster
LEFT JOIN OrleansMembershipTable AS silo ON silo.DeploymentId = cluster.DeploymentId
WHERE cluster.DeploymentId = @DeploymentId
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('GatewaysQueryKey', '
SELECT Address, ProxyPort, Generation
FROM OrleansMembershipTable
WHERE DeploymentId = @DeploymentId AND Status = @Status AND ProxyPort > 0
');

INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('DeleteMembershipTableEntriesKey', '
DELETE FROM OrleansMembershipTable WHERE DeploymentId = @DeploymentId;
DELETE FROM OrleansMembershipVersionTable WHERE DeploymentId = @DeploymentId
');

-- Status 3 is an active silo: however old its sign of life, only the other silos may declare it dead. The provider falls
-- back to this query when the next one is missing.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('CleanupDefunctSiloEntriesKey', '
DELETE FROM OrleansMembershipTable
WHERE DeploymentId = @DeploymentId AND IAmAliveTime < @IAmAliveTime AND Status <> 3
');

-- Status 6 is a dead silo. The provider names the row as it read it: a row that has changed since stays.
INSERT INTO OrleansQuery (QueryKey, QueryText) VALUES ('CleanupDefunctSiloEntryKey', '
DELETE FROM OrleansMembershipTable
WHERE DeploymentId = @DeploymentId AND Address = @Address AND Port = @Port AND Generation = @Generation
    AND Status = 6 AND StartTime = @StartTime AND IAmAliveTime = @IAmAliveTime
    AND COALESCE(SuspectTimes, '''') = COALESCE(@SuspectTimes, '''')
');

-- Which cluster serves a service id, since when, and the newest time that one of its silos has used: no silo starts below it.
CREATE TABLE RecognizeCluster
(
    ServiceId varchar(150) COLLATE "C" NOT NULL CONSTRAINT PK_RecognizeCluster PRIMARY KEY,
    ClusterId varchar(150) NOT NULL,
    ClaimedAt timestamptz NOT NULL,
    NewestTime timestamptz NOT NULL,
    SweepsFrom timestamptz NULL
);

-- What operators read. A text that holds NUL is in PayloadBase64 (its UTF-8 bytes), any other in Payload.
-- The status is the stored one: "expired" once somebody has asked after the deadline. Tombstones are no operations.
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
    operation."status" AS Status,
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
WHERE stored.GrainTypeString = 'operation' AND stored.PayloadBinary IS NOT NULL AND stored.OwnerKey > 'op/' AND stored.OwnerKey < 'op/~';
